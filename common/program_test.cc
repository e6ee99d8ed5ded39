#include "common/program.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace prov {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(Program, StatusAndErrorsAreTold) {
  const auto end = RunProgram({"/bin/sh", "-c", "echo out; echo wrong >&2; exit 3"}, hours(1));
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->status, 3);
  EXPECT_EQ(end->errors, "wrong\n");
}

TEST(Program, SignalsAreTold) {
  EXPECT_EQ(RunProgram({"/bin/sh", "-c", "kill -9 $$"}, hours(1))->status, 128 + SIGKILL);
}

TEST(Program, ArgumentsAreNoShellWords) {
  EXPECT_EQ(RunProgram({"/usr/bin/test", "a; exit 7 $(x)", "=", "a; exit 7 $(x)"}, hours(1))->status, 0);
}

TEST(Program, OneThatIsNotThereIsAnError) {
  EXPECT_TRUE(absl::IsNotFound(RunProgram({"/nowhere/at/all"}, hours(1)).status()));
}

TEST(Program, OneThatTakesTooLongIsKilledWithItsChildren) {
  // The children hold the pipe open, and would for ever.
  const auto end = RunProgram({"/bin/sh", "-c", "sleep 100000 & sleep 100000"}, milliseconds(50));
  EXPECT_TRUE(absl::IsDeadlineExceeded(end.status())) << end.status();
}

TEST(Program, WhatItLeavesRunningIsNotWaitedFor) {
  const auto end = RunProgram({"/bin/sh", "-c", "sleep 5 & exit 0"}, hours(1));
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->status, 0);
}

TEST(Program, ErrorsHaveALimit) {
  const auto end = RunProgram({"/bin/sh", "-c", "yes wrong | head -c 1000000 >&2"}, hours(1));
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->errors.size(), 4096u);
}

}  // namespace
}  // namespace prov
