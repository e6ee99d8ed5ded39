#include "common/retry_info.h"

#include <string>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"

namespace prov {
namespace {

constexpr char kUrl[] = "type.googleapis.com/google.rpc.RetryInfo";
constexpr int64_t kNanosPerMillisecond = 1'000'000;
constexpr int64_t kMostSeconds = 24 * 3600;

}  // namespace

absl::Status ExhaustedFor(std::chrono::milliseconds delay, std::string_view message) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(delay.count() / 1000);
  info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(delay.count() % 1000 * kNanosPerMillisecond));
  absl::Status status = absl::ResourceExhaustedError(absl::string_view(message.data(), message.size()));
  status.SetPayload(kUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

std::optional<std::chrono::milliseconds> RetryDelayOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kUrl);
  google::rpc::RetryInfo info;
  if (!payload.has_value() || !info.ParseFromString(std::string(*payload))) return std::nullopt;
  const auto& delay = info.retry_delay();
  if (delay.seconds() < 0 || delay.seconds() > kMostSeconds || delay.nanos() < 0) return std::nullopt;
  return std::chrono::milliseconds(delay.seconds() * 1000 + delay.nanos() / kNanosPerMillisecond);
}

}  // namespace prov
