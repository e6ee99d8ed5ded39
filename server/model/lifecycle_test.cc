#include "server/model/lifecycle.h"

#include <gtest/gtest.h>

namespace prov::model {
namespace {

constexpr Entitlements kAll{true, true, true};

TEST(Lifecycle, ActiveMayWhatItIsEntitledTo) {
  const Dispositions all = DispositionsOf(State::kActive, kAll, SuspendedMail::kKeep);
  EXPECT_EQ(all, (Dispositions{Disposition::kAllow, Disposition::kAllow, Disposition::kAllow,
                               Disposition::kAllow, Disposition::kAllow}));
  const Dispositions ftp_only = DispositionsOf(State::kActive, {false, true, false}, SuspendedMail::kKeep);
  EXPECT_EQ(ftp_only, (Dispositions{Disposition::kReject, Disposition::kReject, Disposition::kReject,
                                    Disposition::kAllow, Disposition::kReject}));
}

TEST(Lifecycle, SuspendedOnlyReceivesAndOnlyIfItsDomainLetsIt) {
  Dispositions expected;
  expected.receive = Disposition::kAllow;
  EXPECT_EQ(DispositionsOf(State::kSuspended, kAll, SuspendedMail::kKeep), expected);
  expected.receive = Disposition::kTempFail;
  EXPECT_EQ(DispositionsOf(State::kSuspended, kAll, SuspendedMail::kDefer), expected);
  expected.receive = Disposition::kReject;
  EXPECT_EQ(DispositionsOf(State::kSuspended, kAll, SuspendedMail::kReject), expected);
  EXPECT_EQ(DispositionsOf(State::kSuspended, {false, true, true}, SuspendedMail::kKeep), Dispositions());
}

TEST(Lifecycle, ClosedAndPurgedMayNothing) {
  EXPECT_EQ(DispositionsOf(State::kClosed, kAll, SuspendedMail::kKeep), Dispositions());
  EXPECT_EQ(DispositionsOf(State::kPurged, kAll, SuspendedMail::kKeep), Dispositions());
}

// Every cell: what a state takes away no entitlement gives back, and no policy of a domain opens anything but
// mail.
TEST(Lifecycle, MatrixIsWholeAndNoStepDownOpensAnything) {
  const auto at_most = [](Disposition lower, Disposition upper) {
    return lower == upper || upper == Disposition::kAllow;
  };
  for (int bits = 0; bits < 8; ++bits) {
    const Entitlements entitlements{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
    for (const SuspendedMail policy : {SuspendedMail::kKeep, SuspendedMail::kReject, SuspendedMail::kDefer}) {
      const Dispositions active = DispositionsOf(State::kActive, entitlements, policy);
      EXPECT_EQ(active.login == Disposition::kAllow, entitlements.mail);
      EXPECT_EQ(active.submit, active.login);
      EXPECT_EQ(active.receive, active.login);
      EXPECT_EQ(active.ftp == Disposition::kAllow, entitlements.ftp);
      EXPECT_EQ(active.web == Disposition::kAllow, entitlements.web);
      for (const State state : {State::kSuspended, State::kClosed, State::kPurged}) {
        const Dispositions row = DispositionsOf(state, entitlements, policy);
        for (const Disposition cell : {row.login, row.submit, row.ftp, row.web}) {
          EXPECT_EQ(cell, Disposition::kReject) << StateName(state);
        }
        EXPECT_TRUE(entitlements.mail || row.receive == Disposition::kReject);
        EXPECT_TRUE(at_most(row.receive, active.receive) || row.receive == Disposition::kTempFail);
        EXPECT_TRUE(state == State::kSuspended || row.receive == Disposition::kReject);
      }
    }
  }
}

}  // namespace
}  // namespace prov::model
