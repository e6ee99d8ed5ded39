// How long a refusal is held back, by client network: guessing gets slow, and nobody is locked out.
#pragma once

#include <chrono>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/clock.h"

namespace prov::auth {

constexpr std::chrono::milliseconds kFirstFailureDelay = std::chrono::seconds(2);
constexpr std::chrono::milliseconds kLongestFailureDelay = std::chrono::seconds(15);
// A network without a failure for so long starts anew.
constexpr std::chrono::seconds kFailureMemory = std::chrono::minutes(5);

// By client network: IPv4 by address, IPv6 by /48, anything else by its text. Thread-safe.
class FailureDelay {
 public:
  explicit FailureDelay(const Clock& clock, size_t max_networks = 10'000);

  // Counts a failure: 2 s, 4 s, 8 s, 15 s.
  std::chrono::milliseconds AfterFailure(std::string_view address);

 private:
  struct Entry {
    std::string network;
    std::chrono::milliseconds delay;
    std::chrono::steady_clock::time_point last;
  };
  using Entries = std::list<Entry>;  // oldest failure first

  const Clock& clock_;
  const size_t max_networks_;
  std::mutex mutex_;
  Entries entries_;
  std::unordered_map<std::string_view, Entries::iterator> by_network_;  // views into entries_
};

}  // namespace prov::auth
