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

}  // namespace
}  // namespace prov::model
