#include "server/model/validate.h"

#include <gtest/gtest.h>

#include "common/status.h"

namespace prov::model {
namespace {

TEST(Validate, TextMustBeUtf8WithoutControls) {
  EXPECT_TRUE(CheckText("f", "Zoë Müller 日本", 200).ok());
  EXPECT_TRUE(CheckText("f", std::string(200, 'x'), 200).ok());
  for (const std::string& bad :
       std::vector<std::string>{"a\nb", "a\x1b[2J", std::string("a\0b", 3), "\x7f", "\xc2\x85",
                                "\xe2\x80\xae", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                "\xe2\x82", std::string(201, 'x'), std::string(1 << 20, 'x')}) {
    const absl::Status status = CheckText("subscriber.display_name", bad, 200);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ViolationsOf(status).at(0).field, "subscriber.display_name");
    EXPECT_LT(status.message().size(), 400u);
  }
}

TEST(Validate, EchoIsShortAndPrintable) {
  EXPECT_EQ(Echo("a\"b\n\xff"), "\"a\\\"b\\x0a\\xff\"");
  EXPECT_LT(Echo(std::string(1 << 20, '\x01')).size(), 300u);
}

TEST(Validate, ForwardIsNormalisedAndBounded) {
  Forward forward{{"B@Example.net", "a@example.net", "b@example.net"}, true};
  ASSERT_TRUE(CheckForward("forward", forward).ok());
  EXPECT_EQ(forward.targets, (std::vector<std::string>{"a@example.net", "b@example.net"}));
  Forward pipe{{"|/bin/sh"}, false};
  EXPECT_EQ(ViolationsOf(CheckForward("forward", pipe)).at(0).field, "forward.targets");
  Forward many{std::vector<std::string>(21, "a@example.net"), false};
  EXPECT_FALSE(CheckForward("forward", many).ok());
}

TEST(Validate, PoolAndHostNames) {
  EXPECT_TRUE(CheckPoolId("p", "main-2").ok());
  EXPECT_TRUE(CheckHostId("h", "store1.example.net").ok());
  EXPECT_TRUE(CheckHostId("h", "1store").ok());
  for (const char* bad : {"", "-a", "a-", "A", "a_b", "../x", "a/b", "a b"}) {
    EXPECT_FALSE(CheckPoolId("p", bad).ok()) << bad;
    EXPECT_FALSE(CheckHostId("h", bad).ok()) << bad;
  }
  EXPECT_FALSE(CheckHostId("h", "a..b").ok());
  EXPECT_FALSE(CheckHostId("h", "a.").ok());
}

TEST(Validate, LabelsPlanQuota) {
  EXPECT_TRUE(CheckLabels("l", {{"billing", "4711"}}).ok());
  EXPECT_FALSE(CheckLabels("l", {{"", "x"}}).ok());
  EXPECT_FALSE(CheckLabels("l", {{"k", std::string(129, 'v')}}).ok());
  EXPECT_FALSE(CheckPlan("p", "gold plan").ok());
  EXPECT_FALSE(CheckQuota("q", -1).ok());
  EXPECT_FALSE(CheckRequestId(std::string(129, 'x')).ok());
}

}  // namespace
}  // namespace prov::model
