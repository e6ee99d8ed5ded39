// How many calls each caller may make: a token bucket for every identity.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "common/clock.h"

namespace prov::api {

using MonotonicTime = std::chrono::steady_clock::time_point;

struct Rate {
  double per_second = 0;  // 0: no limit
  double burst = 0;       // calls at once after a rest; at least 1 counts
};

// Not thread-safe; pure but for what it holds.
class TokenBucket {
 public:
  // Full at first.
  TokenBucket(Rate rate, MonotonicTime now);

  // Zero: taken. Else how long until there is one; nothing was taken.
  std::chrono::milliseconds Take(MonotonicTime now);
  // As if it had never been used: it may be forgotten.
  bool IsFull(MonotonicTime now) const { return TokensAt(now) >= rate_.burst; }

 private:
  double TokensAt(MonotonicTime now) const;

  Rate rate_;
  double tokens_;
  MonotonicTime filled_;
};

// Many buckets of rates by class (a role), kept by key (an identity, an address). Thread-safe.
class RateLimiter {
 public:
  // Beyond so many, full buckets are forgotten; if none is full, all strangers share one.
  static constexpr size_t kMostBuckets = 10'000;

  RateLimiter(std::map<std::string, Rate> rates, const Clock& clock)
      : rates_(std::move(rates)), clock_(clock) {}

  // RESOURCE_EXHAUSTED with google.rpc.RetryInfo. A class without rate has no limit.
  absl::Status Take(const std::string& rate_class, const std::string& key);
  // The same without words: zero, or how long to wait.
  std::chrono::milliseconds TryTake(const std::string& rate_class, const std::string& key);

  // For all buckets that are not there yet, and those that are begin anew.
  void SetRates(std::map<std::string, Rate> rates);

 private:
  void ForgetFull(MonotonicTime now);

  std::mutex mutex_;
  std::map<std::string, Rate> rates_;
  const Clock& clock_;
  std::map<std::string, TokenBucket> buckets_;
};

}  // namespace prov::api
