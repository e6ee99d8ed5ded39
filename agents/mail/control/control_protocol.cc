#include "agents/mail/control/control_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "common/mail_address.h"
#include "common/status.h"

namespace prov::control {
namespace {

using nlohmann::json;
using queue::Runner;

constexpr size_t kMaxCallerOctets = 300;

int64_t Milliseconds(queue::Time time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

absl::Status Wrong(std::string_view key, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("\"{}\" is no {}", key, what));
}

absl::Status Take(const json& object, const char* key, std::string& value) {
  const auto found = object.find(key);
  if (found == object.end()) return absl::OkStatus();
  if (!found->is_string()) return Wrong(key, "text");
  value = found->get_ref<const std::string&>();
  return absl::OkStatus();
}

absl::Status Take(const json& object, const char* key, bool& value) {
  const auto found = object.find(key);
  if (found == object.end()) return absl::OkStatus();
  if (!found->is_boolean()) return Wrong(key, "yes or no");
  value = found->get<bool>();
  return absl::OkStatus();
}

absl::Status Take(const json& object, const char* key, uint64_t& value) {
  const auto found = object.find(key);
  if (found == object.end()) return absl::OkStatus();
  if (!found->is_number_unsigned()) return Wrong(key, "number");
  value = found->get<uint64_t>();
  return absl::OkStatus();
}

absl::Status Take(const json& object, const char* key, std::vector<std::string>& values) {
  const auto found = object.find(key);
  if (found == object.end()) return absl::OkStatus();
  if (!found->is_array() || found->size() > queue::kMostTracedMessages)
    return Wrong(key, "list of at most 1000");
  for (const json& one : *found) {
    if (!one.is_string()) return Wrong(key, "list of texts");
    values.push_back(one.get<std::string>());
  }
  return absl::OkStatus();
}

absl::StatusOr<queue::Selection> SelectionOf(const json& request) {
  const auto found = request.find("selection");
  if (found == request.end() || !found->is_object()) return Wrong("selection", "object");
  queue::Selection selection;
  PROV_RETURN_IF_ERROR(Take(*found, "ids", selection.ids));
  PROV_RETURN_IF_ERROR(Take(*found, "recipient", selection.recipient));
  PROV_RETURN_IF_ERROR(Take(*found, "recipient_domain", selection.recipient_domain));
  PROV_RETURN_IF_ERROR(Take(*found, "sender", selection.sender));
  PROV_RETURN_IF_ERROR(Take(*found, "all", selection.all));
  return queue::CheckSelection(std::move(selection));
}

absl::StatusOr<Request> ListOf(const json& request) {
  ListRequest list;
  PROV_ASSIGN_OR_RETURN(list.selection, SelectionOf(request));
  PROV_RETURN_IF_ERROR(Take(request, "limit", list.limit));
  list.limit = std::clamp<uint64_t>(list.limit, 1, kMostListed);
  return list;
}

absl::StatusOr<Request> ChangeOf(Runner::Action action, const json& request) {
  Runner::Change change;
  change.action = action;
  PROV_ASSIGN_OR_RETURN(change.selection, SelectionOf(request));
  PROV_RETURN_IF_ERROR(Take(request, "by", change.by));
  if (change.by.empty() || change.by.size() > kMaxCallerOctets) return Wrong("by", "caller");
  PROV_RETURN_IF_ERROR(Take(request, "rehearse", change.rehearse));
  return change;
}

absl::StatusOr<Request> TraceOf(const json& request) {
  queue::TraceQuery query;
  uint64_t since = 0, limit = queue::kMostTracedMessages;
  PROV_RETURN_IF_ERROR(Take(request, "address", query.address));
  PROV_RETURN_IF_ERROR(Take(request, "traces", query.traces));
  PROV_RETURN_IF_ERROR(Take(request, "since", since));
  PROV_RETURN_IF_ERROR(Take(request, "limit", limit));
  if (query.address.empty() && query.traces.empty())
    return absl::InvalidArgumentError("neither an address nor a trace id is named");
  query.address = FoldAddress(query.address);
  // Of the years that a clock may show.
  query.since = queue::Time(std::chrono::milliseconds(std::min<uint64_t>(since, 1ULL << 42)));
  query.most_messages = static_cast<size_t>(std::clamp<uint64_t>(limit, 1, queue::kMostTracedMessages));
  return query;
}

std::string Line(const json& object) {
  return object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

absl::StatusOr<Request> ParseRequest(std::string_view line) {
  static const std::map<std::string, Runner::Action> actions = {{"hold", Runner::Action::kHold},
                                                                {"release", Runner::Action::kRelease},
                                                                {"drop", Runner::Action::kDrop},
                                                                {"flush", Runner::Action::kFlush}};
  const json request = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!request.is_object()) return absl::InvalidArgumentError("the request is no JSON object");
  std::string what;
  PROV_RETURN_IF_ERROR(Take(request, "do", what));
  if (what == "list") return ListOf(request);
  if (what == "trace") return TraceOf(request);
  const auto action = actions.find(what);
  if (action == actions.end()) return absl::UnimplementedError("this engine does not know that request");
  return ChangeOf(action->second, request);
}

std::string MessageLine(std::string_view queue, const queue::StoredMessage& message) {
  const queue::Envelope& envelope = message.envelope;
  json recipients = json::array();
  size_t further = 0;
  for (const queue::Recipient& recipient : envelope.recipients) {
    if (recipient.state != queue::State::kPending) continue;
    if (recipients.size() == kMostListedRecipients) {
      ++further;
      continue;
    }
    recipients.push_back({{"address", recipient.address},
                          {"attempts", recipient.attempts},
                          {"due", Milliseconds(recipient.due)},
                          {"reason", recipient.reason}});
  }
  return Line({{"message",
                {{"queue", queue},
                 {"id", envelope.id},
                 {"trace", envelope.trace},
                 {"received", Milliseconds(envelope.received)},
                 {"sender", envelope.sender},
                 {"octets", message.content_octets},
                 {"held", message.held},
                 {"recipients", std::move(recipients)},
                 {"further", further}}}});
}

std::string EventLine(std::string_view line_of_trace) {
  return fmt::format("{{\"event\":{}}}\n", line_of_trace);
}

std::string ListEndLine(uint64_t queued, bool cut, bool reading) {
  return Line({{"end", {{"queued", queued}, {"cut", cut}, {"reading", reading}}}});
}

std::string ChangeEndLine(const Runner::Changed& changed, bool reading) {
  return Line({{"end", {{"matched", changed.matched}, {"changed", changed.changed}, {"reading", reading}}}});
}

std::string TraceEndLine(bool cut) { return Line({{"end", {{"cut", cut}}}}); }

std::string ErrorLine(const absl::Status& status) {
  return Line({{"error", std::string(MessageOf(status))}, {"code", static_cast<int>(status.code())}});
}

}  // namespace prov::control
