#include "server/feed/progress_rate.h"

#include <algorithm>
#include <cmath>

namespace prov::feed {
namespace {

constexpr double kMemorySeconds = 10;
constexpr double kLeastSeenSeconds = 0.1;
constexpr double kMostSeconds = 30.0 * 86'400;  // what is longer is no forecast

}  // namespace

void ProgressRate::Note(uint64_t revisions, Time now) {
  const double passed = std::max(0.0, std::chrono::duration<double>(now - last_).count());
  const double kept = std::exp(-passed / kMemorySeconds);
  revisions_ = revisions_ * kept + static_cast<double>(revisions);
  seconds_ = seconds_ * kept + passed;
  last_ = now;
}

std::optional<std::chrono::milliseconds> ProgressRate::TimeFor(uint64_t revisions) const {
  if (seconds_ < kLeastSeenSeconds || revisions_ <= 0) return std::nullopt;
  const double seconds = static_cast<double>(revisions) * seconds_ / revisions_;
  return std::chrono::milliseconds(std::llround(std::min(seconds, kMostSeconds) * 1000));
}

}  // namespace prov::feed
