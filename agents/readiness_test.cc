#include "agents/readiness.h"

#include <gtest/gtest.h>

namespace prov {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr steady_clock::time_point kStart{std::chrono::hours(1)};

RoleStanding Copy(uint64_t received, uint64_t applied, uint64_t head) {
  return {.role = v1::STORE,
          .copy = {.received_revision = received, .applied_revision = applied, .head_revision = head}};
}
RoleStanding Told(RoleStanding role) {
  role.provd.connected = role.provd.told = true;
  return role;
}
RoleStanding Refused(RoleStanding role) {
  role.provd.failed = true;
  role.provd.error = "connection refused";
  return role;
}

TEST(Readiness, AnEmptyHostWaitsForItsFirstCopyAndItsEffects) {
  Readiness readiness(kStart);
  EXPECT_EQ(readiness.Observe({Copy(0, 0, 0)}, true, kStart), "store: waits for provd");
  const std::string refused = readiness.Observe({Refused(Copy(0, 0, 0))}, true, kStart + seconds(100));
  EXPECT_EQ(refused, "store: has no copy yet, and cannot follow provd: connection refused");
  RoleStanding copying = Told(Copy(0, 0, 50));
  copying.records = 7;
  EXPECT_EQ(readiness.Observe({copying}, true, kStart), "store: takes in its first copy, 7 records so far");
  EXPECT_EQ(readiness.Observe({Told(Copy(50, 20, 50))}, true, kStart), "store: applied 20 of 50");
  EXPECT_FALSE(readiness.ready());
  EXPECT_EQ(readiness.Observe({Told(Copy(50, 50, 50))}, true, kStart), "");
  EXPECT_TRUE(readiness.ready());
}

// Who writes all the time must not keep a host from ever being ready.
TEST(Readiness, WhatIsWrittenMeanwhileIsNotWaitedFor) {
  Readiness readiness(kStart);
  EXPECT_NE(readiness.Observe({Told(Copy(10, 10, 50))}, true, kStart), "");
  EXPECT_EQ(readiness.Observe({Told(Copy(60, 55, 90))}, true, kStart), "");
}

TEST(Readiness, ACopyFromBeforeDoesWithoutProvd) {
  EXPECT_EQ(Readiness(kStart).Observe({Refused(Copy(40, 30, 50))}, true, kStart), "");
  Readiness silent(kStart);
  EXPECT_EQ(silent.Observe({Copy(40, 30, 50)}, true, kStart), "store: waits for provd");
  EXPECT_EQ(silent.Observe({Copy(40, 30, 50)}, true, kStart + kProvdPatience + seconds(1)), "");
}

TEST(Readiness, AHostIsReadyWhenAllItsRolesAreAndItsEngineListensAndStaysSo) {
  Readiness readiness(kStart);
  RoleStanding relay = Told(Copy(9, 9, 9));
  relay.role = v1::RELAY;
  EXPECT_EQ(readiness.Observe({relay, Told(Copy(9, 8, 9))}, false, kStart), "store: applied 8 of 9");
  EXPECT_FALSE(readiness.has_roles());
  EXPECT_EQ(readiness.Observe({relay, Told(Copy(9, 9, 9))}, false, kStart),
            "the mail engine does not listen yet");
  EXPECT_TRUE(readiness.has_roles());
  EXPECT_EQ(readiness.Observe({relay, Told(Copy(9, 9, 9))}, true, kStart), "");
  EXPECT_EQ(readiness.Observe({Copy(0, 0, 0)}, false, kStart), "");
}

}  // namespace
}  // namespace prov
