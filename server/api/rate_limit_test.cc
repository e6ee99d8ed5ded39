#include "server/api/rate_limit.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "common/retry_info.h"

namespace prov::api {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class HandClock final : public Clock {
 public:
  std::chrono::system_clock::time_point Now() const override { return {}; }
  MonotonicTime Monotonic() const override { return now; }
  MonotonicTime now{seconds(1000)};
};

TEST(TokenBucket, ABurstThenTheRate) {
  HandClock clock;
  TokenBucket bucket({.per_second = 10, .burst = 3}, clock.now);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bucket.Take(clock.now), milliseconds(0));
  EXPECT_EQ(bucket.Take(clock.now), milliseconds(100));
  EXPECT_EQ(bucket.Take(clock.now), milliseconds(100)) << "a refused call must not be charged";
  clock.now += milliseconds(100);
  EXPECT_EQ(bucket.Take(clock.now), milliseconds(0));
  EXPECT_EQ(bucket.Take(clock.now), milliseconds(100));
}

TEST(TokenBucket, ARestFillsItToTheBurstAndNoFurther) {
  HandClock clock;
  TokenBucket bucket({.per_second = 1, .burst = 2}, clock.now);
  clock.now += seconds(3600);
  EXPECT_TRUE(bucket.IsFull(clock.now));
  EXPECT_EQ(bucket.Take(clock.now), milliseconds(0));
  EXPECT_EQ(bucket.Take(clock.now), milliseconds(0));
  EXPECT_FALSE(bucket.IsFull(clock.now));
  EXPECT_GT(bucket.Take(clock.now), milliseconds(0));
}

TEST(TokenBucket, LetsOneThroughHoweverSmallTheBurst) {
  HandClock clock;
  TokenBucket bucket({.per_second = 0.5, .burst = 0}, clock.now);
  EXPECT_EQ(bucket.Take(clock.now), milliseconds(0));
  EXPECT_EQ(bucket.Take(clock.now), seconds(2));
}

TEST(RateLimiter, OneCallersHasteDoesNotSlowAnother) {
  HandClock clock;
  RateLimiter limiter({{"helpdesk", {.per_second = 1, .burst = 1}}}, clock);
  EXPECT_TRUE(limiter.Take("helpdesk", "helpdesk/mary").ok());
  const absl::Status refused = limiter.Take("helpdesk", "helpdesk/mary");
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_EQ(RetryDelayOf(refused), seconds(1));
  EXPECT_TRUE(limiter.Take("helpdesk", "helpdesk/joe").ok());
}

TEST(RateLimiter, RoleWithoutRateHasNoLimit) {
  HandClock clock;
  RateLimiter limiter({{"operator", {}}}, clock);
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(limiter.Take("operator", "operator/admin").ok());
  EXPECT_TRUE(limiter.Take("unheard-of", "x/y").ok());
}

TEST(RateLimiter, MemoryDoesNotGrowWithTheNumberOfCallers) {
  HandClock clock;
  RateLimiter limiter({{"peer", {.per_second = 1, .burst = 1}}}, clock);
  for (size_t i = 0; i < RateLimiter::kMostBuckets; ++i) {
    ASSERT_TRUE(limiter.Take("peer", fmt::format("192.0.2.{}", i)).ok());
  }
  // None is full: all further ones share a bucket.
  EXPECT_TRUE(limiter.Take("peer", "a").ok());
  EXPECT_FALSE(limiter.Take("peer", "b").ok());
  // After a rest the old ones are forgotten.
  clock.now += seconds(10);
  EXPECT_TRUE(limiter.Take("peer", "c").ok());
  EXPECT_TRUE(limiter.Take("peer", "d").ok());
  EXPECT_FALSE(limiter.Take("peer", "d").ok());
}

}  // namespace
}  // namespace prov::api
