#include "agents/mail/queue/retry.h"

#include <algorithm>
#include <cmath>

namespace prov::queue {

std::chrono::milliseconds RetryDelay(const RetrySchedule& schedule, uint32_t attempts, double chance) {
  constexpr uint32_t kMostDoublings = 40;  // beyond any schedule, and no overflow
  const double doublings = std::min(attempts > 0 ? attempts - 1 : 0, kMostDoublings);
  const double plain = std::min(static_cast<double>(schedule.first.count()) * std::exp2(doublings),
                                static_cast<double>(schedule.longest.count()));
  return std::chrono::milliseconds(static_cast<int64_t>(plain * (0.75 + 0.5 * chance)));
}

}  // namespace prov::queue
