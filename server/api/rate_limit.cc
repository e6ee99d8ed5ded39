#include "server/api/rate_limit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "common/retry_info.h"

namespace prov::api {

TokenBucket::TokenBucket(Rate rate, MonotonicTime now) : rate_(rate), filled_(now) {
  rate_.burst = std::max(rate_.burst, 1.0);
  tokens_ = rate_.burst;
}

double TokenBucket::TokensAt(MonotonicTime now) const {
  const std::chrono::duration<double> passed = now - filled_;
  return std::min(rate_.burst, tokens_ + std::max(passed.count(), 0.0) * rate_.per_second);
}

std::chrono::milliseconds TokenBucket::Take(MonotonicTime now) {
  if (rate_.per_second <= 0) return std::chrono::milliseconds(0);
  tokens_ = TokensAt(now);
  filled_ = now;
  if (tokens_ >= 1) {
    tokens_ -= 1;
    return std::chrono::milliseconds(0);
  }
  return std::chrono::milliseconds(static_cast<int64_t>(std::ceil((1 - tokens_) / rate_.per_second * 1000)));
}

std::chrono::milliseconds RateLimiter::TryTake(const std::string& rate_class, const std::string& key) {
  const auto now = clock_.Monotonic();
  const std::lock_guard lock(mutex_);
  const auto rate = rates_.find(rate_class);
  if (rate == rates_.end() || rate->second.per_second <= 0) return std::chrono::milliseconds(0);
  auto bucket = buckets_.find(key);
  if (bucket == buckets_.end()) {
    if (buckets_.size() >= kMostBuckets) ForgetFull(now);
    const std::string& name = buckets_.size() < kMostBuckets ? key : rate_class;
    bucket = buckets_.try_emplace(name, rate->second, now).first;
  }
  return bucket->second.Take(now);
}

absl::Status RateLimiter::Take(const std::string& rate_class, const std::string& key) {
  const std::chrono::milliseconds wait = TryTake(rate_class, key);
  if (wait.count() == 0) return absl::OkStatus();
  return ExhaustedFor(wait, fmt::format("{} makes too many calls; the next one in {} ms", key, wait.count()));
}

void RateLimiter::SetRates(std::map<std::string, Rate> rates) {
  const std::lock_guard lock(mutex_);
  rates_ = std::move(rates);
  buckets_.clear();
}

void RateLimiter::ForgetFull(MonotonicTime now) {
  std::erase_if(buckets_, [&](const auto& entry) { return entry.second.IsFull(now); });
}

}  // namespace prov::api
