#include "agents/state_watch.h"

#include <gtest/gtest.h>

#include "common/clock.h"

namespace prov {
namespace {

class HandClock final : public Clock {
 public:
  std::chrono::system_clock::time_point Now() const override { return {}; }
  std::chrono::steady_clock::time_point Monotonic() const override { return now; }
  std::chrono::steady_clock::time_point now{std::chrono::hours(1)};
};

class StateWatchTest : public testing::Test {
 protected:
  HandClock clock_;
  int checks_ = 0;
  absl::Status found_;
  StateWatch watch_{[this] {
                      ++checks_;
                      return found_;
                    },
                    clock_};
};

TEST_F(StateWatchTest, NothingSuspectIsNotChecked) {
  watch_.ObserveCrashes(0);
  watch_.ObserveSpeaking(false);
  watch_.ObserveSpeaking(true);
  watch_.ObserveRead(v1::RELAY, absl::UnavailableError("being made anew"));
  watch_.ObserveRead(v1::RELAY, state::Freshness{.received_revision = 7});
  watch_.ObserveRead(v1::STORE, state::Freshness{.received_revision = 5});
  watch_.ObserveRead(v1::RELAY, state::Freshness{.received_revision = 8});
  EXPECT_TRUE(watch_.Poll().ok());
  EXPECT_EQ(checks_, 0);
}

TEST_F(StateWatchTest, EngineThatCrashedOrFellSilentHasItChecked) {
  watch_.ObserveCrashes(1);
  EXPECT_TRUE(watch_.Poll().ok());
  EXPECT_EQ(checks_, 1);
  EXPECT_TRUE(watch_.Poll().ok());
  EXPECT_EQ(checks_, 1) << "one look for one crash";
  clock_.now += kStateCheckInterval;
  watch_.ObserveSpeaking(true);
  watch_.ObserveSpeaking(false);
  found_ = absl::DataLossError("page 7");
  EXPECT_TRUE(absl::IsDataLoss(watch_.Poll()));
  EXPECT_EQ(checks_, 2);
}

TEST_F(StateWatchTest, CopyThatForgotHowFarItWasIsChecked) {
  watch_.ObserveRead(v1::RELAY, state::Freshness{.received_revision = 7});
  watch_.ObserveRead(v1::RELAY, state::Freshness());
  found_ = absl::DataLossError("page 7");
  EXPECT_TRUE(absl::IsDataLoss(watch_.Poll()));
}

TEST_F(StateWatchTest, CrashesInARowAreLookedAtOnceAMinute) {
  for (uint64_t crash = 1; crash <= 10; ++crash) {
    watch_.ObserveCrashes(crash);
    EXPECT_TRUE(watch_.Poll().ok());
  }
  EXPECT_EQ(checks_, 1);
  clock_.now += kStateCheckInterval;
  EXPECT_TRUE(watch_.Poll().ok());
  EXPECT_EQ(checks_, 2) << "the later ones are not forgotten";
}

TEST_F(StateWatchTest, WhatCannotBeLookedAtIsNotBroken) {
  watch_.ObserveCrashes(1);
  found_ = absl::UnavailableError("no process");
  EXPECT_TRUE(watch_.Poll().ok());
}

TEST_F(StateWatchTest, BrokenPageThatWasReadNeedsNoCheck) {
  watch_.ObserveRead(v1::RELAY, absl::DataLossError("page 7"));
  watch_.ObserveRead(v1::RELAY, state::Freshness());
  EXPECT_TRUE(absl::IsDataLoss(watch_.Poll()));
  EXPECT_EQ(checks_, 0);
}

}  // namespace
}  // namespace prov
