// How long to wait before trying again: doubling, capped, and spread so that a thousand agents do not come
// back at once.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace prov::sync {

struct Backoff {
  std::chrono::milliseconds first = std::chrono::milliseconds(200);
  std::chrono::milliseconds longest = std::chrono::seconds(5);

  // After `failures` in a row (1 or more), between half and the whole of the doubled delay; `random` is any
  // random number. Pure.
  std::chrono::milliseconds Delay(uint64_t failures, uint64_t random) const {
    constexpr uint64_t kMostDoublings = 30;
    const uint64_t doublings = std::min(failures - 1, kMostDoublings);
    const std::chrono::milliseconds whole = std::min(longest, first * (int64_t{1} << doublings));
    const auto half = static_cast<uint64_t>(whole.count() / 2);
    return whole - std::chrono::milliseconds(half == 0 ? 0 : random % half);
  }
};

}  // namespace prov::sync
