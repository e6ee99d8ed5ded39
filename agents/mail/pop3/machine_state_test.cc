// What is forgotten from one state of a session to the next, and what may be asked for again.
#include <gtest/gtest.h>

#include "agents/mail/pop3/machine.h"
#include "agents/mail/pop3/testing/machine_fixture.h"

namespace prov::pop3 {
namespace {

using Kind = Step::Kind;

TEST(Machine, AMessageThatCannotBeReadNowMayBeThereLater) {
  const std::vector<maildir::Message> one = {{120, "id-one"}};
  Machine machine("x", net::TlsUse::kNone);
  machine.Input("USER a\r\nPASS b\r\nRETR 1\r\n");
  for (Step step = machine.Next(); step.kind != Kind::kSend; step = machine.Next()) {
    ASSERT_NE(step.kind, Kind::kNeedInput);
    if (step.kind == Kind::kLogin) machine.LoggedIn(one);
  }
  machine.MessageGone(/*may_come_back=*/true);
  EXPECT_EQ(machine.Next().output, "-ERR [SYS/TEMP] The message cannot be read now\r\n");
}

TEST_F(MachineTest, MistakesBeforeTheLoginDoNotCountAfterIt) {
  for (int i = 0; i < kMaxBadCommandsBeforeLogin - 1; ++i) Say("XYZZY\r\n");
  LogIn();
  for (int i = 0; i < kMaxBadCommandsAfterLogin - 1; ++i) Say("XYZZY\r\n");
  EXPECT_FALSE(closed_);
}

TEST_F(MachineWithTls, WhatCameInClearDuringTheHandshakeIsForgotten) {
  machine_.Input("STLS\r\n");
  machine_.Next();
  ASSERT_EQ(machine_.Next().kind, Kind::kStartTls);
  machine_.Input("USER mallory\r\n");
  machine_.Secured();
  EXPECT_EQ(Run(), "");
}

}  // namespace
}  // namespace prov::pop3
