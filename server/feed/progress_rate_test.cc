#include "server/feed/progress_rate.h"

#include <gtest/gtest.h>

namespace prov::feed {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const ProgressRate::Time kStart{std::chrono::hours(1)};

TEST(ProgressRate, NothingSeenNoForecast) {
  ProgressRate rate;
  EXPECT_EQ(rate.TimeFor(100), std::nullopt);
  rate.Begin(kStart);
  rate.Note(50, kStart + milliseconds(10));
  EXPECT_EQ(rate.TimeFor(100), std::nullopt) << "ten milliseconds tell nothing";
}

TEST(ProgressRate, SteadyWorkIsForetold) {
  ProgressRate rate;
  rate.Begin(kStart);
  for (int i = 1; i <= 10; ++i) rate.Note(100, kStart + seconds(i));
  EXPECT_EQ(rate.TimeFor(1000), seconds(10));
  EXPECT_EQ(rate.TimeFor(0), seconds(0));
}

TEST(ProgressRate, IdleTimeDoesNotCount) {
  ProgressRate rate;
  rate.Begin(kStart);
  rate.Note(100, kStart + seconds(1));
  rate.Begin(kStart + seconds(1000));
  rate.Note(100, kStart + seconds(1001));
  EXPECT_EQ(rate.TimeFor(100), seconds(1));
}

TEST(ProgressRate, FollowsAChangeOfPace) {
  ProgressRate rate;
  rate.Begin(kStart);
  for (int i = 1; i <= 10; ++i) rate.Note(1000, kStart + seconds(i));
  for (int i = 11; i <= 60; ++i) rate.Note(10, kStart + seconds(i));
  EXPECT_GT(*rate.TimeFor(1000), seconds(50));
  EXPECT_LT(*rate.TimeFor(1000), seconds(101));
}

TEST(ProgressRate, AForecastHasAnEnd) {
  ProgressRate rate;
  rate.Begin(kStart);
  rate.Note(1, kStart + seconds(1000));
  EXPECT_LE(*rate.TimeFor(UINT64_MAX), std::chrono::hours(24 * 30));
}

}  // namespace
}  // namespace prov::feed
