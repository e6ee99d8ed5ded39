#include "server/feed/convergence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace prov::feed {
namespace {

using model::Role;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StandingClock final : public Clock {
 public:
  std::chrono::system_clock::time_point Now() const override {
    return std::chrono::system_clock::time_point(elapsed_);
  }
  std::chrono::steady_clock::time_point Monotonic() const override {
    return std::chrono::steady_clock::time_point(std::chrono::hours(1) + elapsed_);
  }
  void Advance(seconds by) { elapsed_ += by; }

 private:
  seconds elapsed_{0};
};

class ConvergenceTest : public ::testing::Test {
 protected:
  ConvergenceTest() {
    model::Pool store;
    store.id = "main";
    store.role = Role::kStore;
    model::Pool relay;
    relay.id = "mx";
    relay.role = Role::kRelay;
    fleet_.pools = {store, relay};
    model::Host host;
    host.id = "a";
    host.pools = {"main"};
    fleet_.hosts = {host};
    convergence_.SetFleet(fleet_, 10);
    convergence_.SetHead(10);
    convergence_.ReportDirectory(true, 10, 0, "");
  }

  Follower Host(uint64_t revision, bool must_be_connected = false) {
    const auto followers = convergence_.Followers(revision, must_be_connected);
    EXPECT_THAT(followers, SizeIs(2));
    return followers.back();
  }

  StandingClock clock_;
  Fleet fleet_;
  Convergence convergence_{clock_, {.stuck_after = seconds(5)}};
};

TEST_F(ConvergenceTest, HostThatNeverCameIsAbsentAndHoldsUp) {
  EXPECT_EQ(Host(10).state, FollowerState::kAbsent);
  EXPECT_EQ(Host(10).name, "hosts/a");
  EXPECT_EQ(Host(10).role, Role::kStore);
  EXPECT_THAT(Host(10).cause, HasSubstr("not connected"));
  EXPECT_FALSE(AllCurrent(convergence_.Followers(10, false)));
}

TEST_F(ConvergenceTest, MovesFromBehindToCurrent) {
  const uint64_t connection = convergence_.Connected("a", Role::kStore, 0, 0);
  EXPECT_EQ(Host(10).state, FollowerState::kBehind);
  convergence_.Report(connection, 10, 9, 0, "");
  EXPECT_EQ(Host(10).state, FollowerState::kBehind);
  EXPECT_EQ(Host(9).state, FollowerState::kCurrent);
  convergence_.Report(connection, 10, 10, 0, "");
  EXPECT_EQ(Host(10).state, FollowerState::kCurrent);
  EXPECT_THAT(Host(10).cause, IsEmpty());
  EXPECT_TRUE(AllCurrent(convergence_.Followers(10, true)));
}

TEST_F(ConvergenceTest, StuckWhenNothingMovesAndSaysWhy) {
  const uint64_t connection = convergence_.Connected("a", Role::kStore, 5, 5);
  clock_.Advance(seconds(4));
  EXPECT_EQ(Host(10).state, FollowerState::kBehind);
  clock_.Advance(seconds(1));
  EXPECT_EQ(Host(10).state, FollowerState::kStuck);
  EXPECT_THAT(Host(10).cause, HasSubstr("received up to 5"));
  convergence_.Report(connection, 10, 5, 0, "");
  EXPECT_EQ(Host(10).state, FollowerState::kBehind);
  clock_.Advance(seconds(5));
  EXPECT_THAT(Host(10).cause, HasSubstr("applied up to 5"));
  convergence_.Report(connection, 10, 5, 1, "subscribers/7: disk full");
  EXPECT_EQ(Host(10).state, FollowerState::kStuck);  // the same revision: no progress
  EXPECT_THAT(Host(10).cause, HasSubstr("subscribers/7: disk full"));
}

TEST_F(ConvergenceTest, IdleFollowerIsNotStuckTheMomentThereIsWork) {
  convergence_.Connected("a", Role::kStore, 10, 10);
  clock_.Advance(seconds(1000));
  EXPECT_EQ(Host(10).state, FollowerState::kCurrent);
  convergence_.SetHead(11);
  EXPECT_EQ(Host(11).state, FollowerState::kBehind);
  clock_.Advance(seconds(6));
  EXPECT_EQ(Host(11).state, FollowerState::kStuck);
}

TEST_F(ConvergenceTest, BehindTellsTheTimeToGoAndStuckDoesNot) {
  convergence_.SetHead(1000);
  const uint64_t connection = convergence_.Connected("a", Role::kStore, 0, 0);
  EXPECT_EQ(Host(1000).time_to_go, std::nullopt);
  for (uint64_t second = 1; second <= 4; ++second) {
    clock_.Advance(seconds(1));
    convergence_.Report(connection, 1000, second * 100, 0, "");
  }
  EXPECT_EQ(Host(1000).state, FollowerState::kBehind);
  EXPECT_EQ(Host(1000).time_to_go, seconds(6));
  EXPECT_EQ(Host(500).time_to_go, seconds(1));
  EXPECT_EQ(Host(400).time_to_go, std::nullopt) << "is there already";
  clock_.Advance(seconds(5));
  EXPECT_EQ(Host(1000).state, FollowerState::kStuck);
  EXPECT_EQ(Host(1000).time_to_go, std::nullopt);
}

TEST_F(ConvergenceTest, DirectoryTellsTheTimeToGoToo) {
  clock_.Advance(seconds(1000));
  convergence_.SetHead(210);
  clock_.Advance(seconds(1));
  convergence_.ReportDirectory(true, 110, 0, "");
  const Follower directory = convergence_.Followers(210, true).front();
  EXPECT_EQ(directory.state, FollowerState::kBehind);
  EXPECT_EQ(directory.time_to_go, seconds(1)) << "it was idle before, and that does not count";
}

TEST_F(ConvergenceTest, StuckDirectoryNamesItsErrorWithoutCountingItems) {
  convergence_.SetHead(20);
  convergence_.ReportDirectory(true, 10, 0, "no space left on device");
  clock_.Advance(seconds(6));
  const Follower directory = convergence_.Followers(20, true).front();
  EXPECT_EQ(directory.state, FollowerState::kStuck);
  EXPECT_EQ(directory.cause, "no progress for 6 s: no space left on device");
}

TEST_F(ConvergenceTest, FailingItemsDoNotHoldUp) {
  const uint64_t connection = convergence_.Connected("a", Role::kStore, 10, 10);
  convergence_.Report(connection, 10, 10, 3, "subscribers/7: disk full");
  EXPECT_EQ(Host(10).state, FollowerState::kCurrent);
  EXPECT_EQ(Host(10).failing_items, 3);
}

TEST_F(ConvergenceTest, WhatWasAppliedStaysAppliedWithoutAConnection) {
  const uint64_t connection = convergence_.Connected("a", Role::kStore, 10, 10);
  convergence_.Disconnected(connection);
  EXPECT_EQ(Host(10, false).state, FollowerState::kCurrent);
  EXPECT_EQ(Host(10, true).state, FollowerState::kAbsent);
  EXPECT_EQ(Host(11, false).state, FollowerState::kAbsent);
  clock_.Advance(seconds(7));
  EXPECT_THAT(Host(11).cause, HasSubstr("7 s ago"));
}

TEST_F(ConvergenceTest, HostThatLostItsStateIsBehindAgain) {
  convergence_.Disconnected(convergence_.Connected("a", Role::kStore, 10, 10));
  convergence_.Connected("a", Role::kStore, 0, 0);
  EXPECT_EQ(Host(10).state, FollowerState::kBehind);
}

TEST_F(ConvergenceTest, OlderConnectionCountsForNothingOnceReplaced) {
  const uint64_t older = convergence_.Connected("a", Role::kStore, 0, 0);
  const uint64_t newer = convergence_.Connected("a", Role::kStore, 3, 3);
  convergence_.Report(older, 10, 10, 0, "");
  EXPECT_EQ(Host(10).applied_revision, 3);
  convergence_.Disconnected(older);
  EXPECT_EQ(Host(10).state, FollowerState::kBehind);
  convergence_.Disconnected(newer);
  EXPECT_EQ(Host(10).state, FollowerState::kAbsent);
}

TEST_F(ConvergenceTest, EvictedHostDoesNotCount) {
  convergence_.Connected("a", Role::kStore, 0, 0);
  fleet_.hosts[0].state = model::HostState::kEvicted;
  convergence_.SetFleet(fleet_, 11);
  EXPECT_TRUE(AllCurrent(convergence_.Followers(10, false)));
  fleet_.hosts[0].state = model::HostState::kServing;
  convergence_.SetFleet(fleet_, 10);  // older news
  EXPECT_TRUE(AllCurrent(convergence_.Followers(10, false)));
  convergence_.SetFleet(fleet_, 12);
  EXPECT_FALSE(AllCurrent(convergence_.Followers(10, false)));
}

TEST_F(ConvergenceTest, EachRoleOfAHostCounts) {
  fleet_.hosts[0].pools = {"main", "mx"};
  convergence_.SetFleet(fleet_, 11);
  convergence_.Connected("a", Role::kStore, 11, 11);
  EXPECT_THAT(convergence_.Followers(11, false), SizeIs(3));
  EXPECT_FALSE(AllCurrent(convergence_.Followers(10, false)));
  convergence_.Connected("a", Role::kRelay, 11, 11);
  EXPECT_TRUE(AllCurrent(convergence_.Followers(10, false)));
}

TEST_F(ConvergenceTest, DirectoryIsAFollowerWithItsOwnCause) {
  convergence_.Connected("a", Role::kStore, 12, 12);
  convergence_.SetHead(12);
  EXPECT_EQ(convergence_.Followers(12, false)[0].state, FollowerState::kBehind);
  convergence_.ReportDirectory(false, 10, 0, "ldapi: connection refused");
  EXPECT_EQ(convergence_.Followers(12, false)[0].name, "directory");
  EXPECT_EQ(convergence_.Followers(12, false)[0].state, FollowerState::kAbsent);
  EXPECT_EQ(convergence_.Followers(12, false)[0].cause, "ldapi: connection refused");
  convergence_.ReportDirectory(true, 12, 0, "");
  EXPECT_TRUE(AllCurrent(convergence_.Followers(12, true)));
}

TEST_F(ConvergenceTest, ListenersHearOfEachMoveUntilTheyLeave) {
  int heard = 0;
  const uint64_t id = convergence_.Subscribe([&] { ++heard; });
  const uint64_t connection = convergence_.Connected("a", Role::kStore, 0, 0);
  convergence_.Report(connection, 1, 1, 0, "");
  convergence_.Disconnected(connection);
  EXPECT_EQ(heard, 3);
  convergence_.Unsubscribe(id);
  convergence_.ReportDirectory(true, 11, 0, "");
  EXPECT_EQ(heard, 3);
}

}  // namespace
}  // namespace prov::feed
