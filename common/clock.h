// Time comes in from outside, so that tests need not wait for it.
#pragma once

#include <chrono>

namespace prov {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // UTC.
  virtual std::chrono::system_clock::time_point Now() const = 0;
  // For intervals; never goes back.
  virtual std::chrono::steady_clock::time_point Monotonic() const = 0;
};

// The machine's own; lives for ever.
const Clock& SystemClock();

}  // namespace prov
