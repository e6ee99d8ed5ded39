// When to try again. Pure.
#pragma once

#include <chrono>
#include <cstdint>

namespace prov::queue {

struct RetrySchedule {
  std::chrono::milliseconds first, longest, give_up;
};

// After `attempts` deferrals (1 or more): `first` doubled each time up to `longest`, with a jitter of up to a
// quarter either way; `chance` is in [0, 1).
std::chrono::milliseconds RetryDelay(const RetrySchedule& schedule, uint32_t attempts, double chance);

}  // namespace prov::queue
