#include "agents/mail/policy/rate_limit.h"

#include <gtest/gtest.h>

namespace prov::policy {
namespace {

using std::chrono::minutes;
const std::chrono::steady_clock::time_point kStart{std::chrono::hours(1)};

TEST(RateLimit, TakesAnHoursWorthAtOnceAndThenAsItFills) {
  RateLimit limit(60);
  for (int i = 0; i < 60; ++i) EXPECT_TRUE(limit.Take("a", 1, kStart));
  EXPECT_FALSE(limit.Take("a", 1, kStart));
  EXPECT_TRUE(limit.Take("b", 60, kStart));  // others have their own
  EXPECT_TRUE(limit.Take("a", 2, kStart + minutes(2)));
  EXPECT_FALSE(limit.Take("a", 1, kStart + minutes(2)));
  EXPECT_FALSE(limit.Take("a", 61, kStart + minutes(600)));  // never more than an hour's worth
  EXPECT_TRUE(limit.Take("a", 60, kStart + minutes(600)));
}

TEST(RateLimit, ZeroIsNoLimit) {
  RateLimit limit(0);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(limit.Take("a", 1000, kStart));
  EXPECT_EQ(limit.keys(), 0u);
}

TEST(RateLimit, RemembersSoManyOnly) {
  RateLimit limit(1, 3);
  for (const char* key : {"a", "b", "c"}) EXPECT_TRUE(limit.Take(key, 1, kStart));
  EXPECT_FALSE(limit.Take("a", 1, kStart));  // heard of just now: b is the oldest
  EXPECT_TRUE(limit.Take("d", 1, kStart));
  EXPECT_EQ(limit.keys(), 3u);
  EXPECT_FALSE(limit.Take("a", 1, kStart));
  EXPECT_TRUE(limit.Take("b", 1, kStart));
}

TEST(RateLimit, AClockThatGoesBackGivesNothing) {
  RateLimit limit(1);
  EXPECT_TRUE(limit.Take("a", 1, kStart));
  EXPECT_FALSE(limit.Take("a", 1, kStart - minutes(120)));
}

}  // namespace
}  // namespace prov::policy
