#include "server/api/agent_hello.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "common/status.h"
#include "server/api/agent_stream_limits.h"
#include "server/feed/view.h"

namespace prov::api {
namespace {

using google::protobuf::util::TimeUtil;

bool IsTime(const google::protobuf::Timestamp& time) {
  return time.seconds() >= TimeUtil::kTimestampMinSeconds && time.seconds() <= TimeUtil::kTimestampMaxSeconds;
}

model::Time TimeOf(const google::protobuf::Timestamp& time) {
  return model::Time(std::chrono::microseconds(TimeUtil::TimestampToMicroseconds(time)));
}

bool IsServiceName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxServiceOctets &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") == std::string_view::npos;
}

// host:port, or [address]:port.
bool IsEndpoint(std::string_view endpoint) {
  if (endpoint.size() > kMaxEndpointOctets) return false;
  const size_t colon = endpoint.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  if (std::any_of(endpoint.begin(), endpoint.end(), [](char c) { return c <= ' ' || c > '~'; })) return false;
  unsigned port = 0;
  const std::string_view digits = endpoint.substr(colon + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return error == std::errc() && end == digits.data() + digits.size() && port > 0 && port < 65536;
}

}  // namespace

absl::Status CheckHello(const v1::Hello& hello) {
  if (!feed::FromProto(hello.role()).has_value()) {
    return InvalidField("hello.role", "name one of the roles of the host's pools");
  }
  if (hello.agent_version().size() > kMaxAgentVersionOctets) {
    return InvalidField("hello.agent_version", fmt::format("longer than {} octets", kMaxAgentVersionOctets));
  }
  if (static_cast<size_t>(hello.endpoints_size()) > kMaxEndpoints) {
    return InvalidField("hello.endpoints", fmt::format("more than {}", kMaxEndpoints));
  }
  for (const auto& [service, endpoint] : hello.endpoints()) {
    if (!IsServiceName(service)) return InvalidField("hello.endpoints", "a service is not [a-z0-9_-]{1,32}");
    if (!IsEndpoint(endpoint)) {
      return InvalidField("hello.endpoints", fmt::format("the endpoint of \"{}\" is not host:port", service));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckProgress(const v1::Progress& progress) {
  if (progress.failing_size() > kMaxFailingItems) {
    return InvalidField("progress.failing",
                        fmt::format("{} items; send at most {}, failing_items counts them all",
                                    progress.failing_size(), kMaxFailingItems));
  }
  if (progress.sessions() > kMaxSessions) {
    return InvalidField("progress.sessions", "more than a host can have");
  }
  if (progress.failing_items() < static_cast<uint64_t>(progress.failing_size())) {
    return InvalidField("progress.failing_items", "less than the items listed");
  }
  for (const v1::FailingItem& item : progress.failing()) {
    if (item.key().size() > kMaxKeyOctets) return InvalidField("progress.failing.key", "too long for a key");
  }
  const v1::Inspection& inspection = progress.inspection();
  if (inspection.drifts_size() > kMaxDrifts) {
    return InvalidField("progress.inspection.drifts",
                        fmt::format("{} of them; send at most {}, drifting counts them all",
                                    inspection.drifts_size(), kMaxDrifts));
  }
  if (!IsTime(inspection.begin_time()) || !IsTime(inspection.end_time())) {
    return InvalidField("progress.inspection.begin_time", "no time of the years 1 to 9999");
  }
  for (const v1::Drift& drift : inspection.drifts()) {
    if (drift.key().size() > kMaxKeyOctets || drift.driver().size() > kMaxServiceOctets) {
      return InvalidField("progress.inspection.drifts", "too long for a key or a driver");
    }
  }
  return absl::OkStatus();
}

std::map<std::string, std::string> EndpointsOf(const v1::Hello& hello) {
  return {hello.endpoints().begin(), hello.endpoints().end()};
}

std::vector<store::FailingItem> FailingOf(const v1::Progress& progress) {
  std::vector<store::FailingItem> items;
  for (const v1::FailingItem& item : progress.failing()) {
    store::FailingItem& one = items.emplace_back();
    one.key = item.key();
    one.revision = item.revision();
    one.error = item.error().substr(0, kMaxErrorOctets);
    one.attempts = item.attempts();
    if (item.has_retry_in()) one.retry_in = std::chrono::seconds(item.retry_in().seconds());
  }
  return items;
}

store::Inspection InspectionOf(const v1::Inspection& inspection) {
  store::Inspection result{.number = inspection.number(),
                           .repair = inspection.repair(),
                           .begin = TimeOf(inspection.begin_time()),
                           .inspected_records = inspection.inspected_records(),
                           .all_records = inspection.all_records(),
                           .drifting = inspection.drifting(),
                           .failed_records = inspection.failed_records(),
                           .error = inspection.error().substr(0, kMaxErrorOctets),
                           .held = inspection.held()};
  if (inspection.has_end_time()) result.end = TimeOf(inspection.end_time());
  for (const v1::Drift& drift : inspection.drifts()) {
    result.drifts.push_back({drift.key(), drift.driver(), drift.difference().substr(0, kMaxErrorOctets)});
  }
  return result;
}

}  // namespace prov::api
