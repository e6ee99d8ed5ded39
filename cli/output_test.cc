#include "cli/output.h"

#include <gtest/gtest.h>

#include <map>

#include "cli/session.h"
#include "cli/wait_display.h"
#include "common/status.h"
#include "prov/v1/operations.pb.h"
#include "prov/v1/subscribers.pb.h"

namespace prov::cli {
namespace {

TEST(Exits, EveryCodeHasTheDocumentedStatus) {
  const std::map<absl::StatusCode, int> kDocumented = {
      {absl::StatusCode::kOk, 0},
      {absl::StatusCode::kCancelled, 1},
      {absl::StatusCode::kUnknown, 1},
      {absl::StatusCode::kInvalidArgument, 5},
      {absl::StatusCode::kDeadlineExceeded, 7},
      {absl::StatusCode::kNotFound, 3},
      {absl::StatusCode::kAlreadyExists, 4},
      {absl::StatusCode::kPermissionDenied, 6},
      {absl::StatusCode::kResourceExhausted, 7},
      {absl::StatusCode::kFailedPrecondition, 9},
      {absl::StatusCode::kAborted, 9},
      {absl::StatusCode::kOutOfRange, 5},
      {absl::StatusCode::kUnimplemented, 1},
      {absl::StatusCode::kInternal, 1},
      {absl::StatusCode::kUnavailable, 7},
      {absl::StatusCode::kDataLoss, 1},
      {absl::StatusCode::kUnauthenticated, 6},
  };
  for (const auto& [code, status] : kDocumented)
    EXPECT_EQ(ExitOf(absl::Status(code, "x")), status) << static_cast<int>(code);
  EXPECT_EQ(ExitOf(FieldError(absl::StatusCode::kAborted, "--wait", "NOT_CONVERGED", "x")), 8);
}

TEST(Safe, NothingDrivesTheTerminal) {
  EXPECT_EQ(Safe("Alice Example"), "Alice Example");
  EXPECT_EQ(Safe("J\xc3\xbcrgen \xe6\x97\xa5\xe6\x9c\xac"), "J\xc3\xbcrgen \xe6\x97\xa5\xe6\x9c\xac");
  EXPECT_EQ(Safe("\x1b[2J\x07\r\n\t\x7f"), "\\x1b[2J\\x07\\x0d\\x0a\\x09\\x7f");
  EXPECT_EQ(Safe("\xc2\x9b"
                 "31m"),
            "\\xc2\\x9b31m");  // C1 CSI
  EXPECT_EQ(Safe("a\xe2\x80\xae"
                 "b"),
            "a\\xe2\\x80\\xae"
            "b");                                      // right-to-left override
  EXPECT_EQ(Safe("\xff\xfe\xc3"), "\\xff\\xfe\\xc3");  // no UTF-8
  EXPECT_EQ(Safe(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(Table, ColumnsAreAlignedAndCellsSafe) {
  EXPECT_EQ(ToTable({"LOGIN", "NAME"}, {{"a@example.net", "A"}, {"b", "\x1b[31mred"}, {"\xc3\xbc", "U"}}),
            "LOGIN          NAME\n"
            "a@example.net  A\n"
            "b              \\x1b[31mred\n"
            "\xc3\xbc              U\n");
}

TEST(Table, ComesInPartsUnderOneHeader) {
  Table table({"LOGIN", "NAME"});
  EXPECT_EQ(table.Rows({{"alice@example.net", "A"}}), "LOGIN              NAME\nalice@example.net  A\n");
  EXPECT_EQ(table.Rows({{"b", "B"}}), "b                  B\n");
  EXPECT_EQ(table.Rows({}), "");
}

TEST(List, KeysAreAligned) { EXPECT_EQ(ToList({{"a", "1"}, {"long", "x\ny"}}), "a     1\nlong  x\\x0ay\n"); }

TEST(Json, NamesAreThoseOfTheContractAndDefaultsAreThere) {
  v1::Subscriber subscriber;
  subscriber.set_login("alice@example.net");
  subscriber.set_quota_bytes(int64_t{1} << 40);
  subscriber.set_state(v1::Subscriber::SUSPENDED);
  const std::string json = ToJson(subscriber);
  EXPECT_NE(json.find("\"login\": \"alice@example.net\""), std::string::npos) << json;
  EXPECT_NE(json.find("\"quota_bytes\": \"1099511627776\""), std::string::npos) << json;
  EXPECT_NE(json.find("\"state\": \"SUSPENDED\""), std::string::npos) << json;
  EXPECT_NE(json.find("\"has_password\": false"), std::string::npos) << json;
  EXPECT_NE(json.find("\"display_name\": \"\""), std::string::npos) << json;
  EXPECT_EQ(json.back(), '\n');
}

TEST(ErrorText, NamesFieldValueAndMend) {
  EXPECT_EQ(ErrorText(InvalidFields({{"subscriber.login", "\"x\" has no @; write local-part@domain"},
                                     {"subscriber.plan", "\x1b is a control character"}})),
            "provctl: subscriber.login: \"x\" has no @; write local-part@domain\n"
            "provctl: subscriber.plan: \\x1b is a control character\n");
  EXPECT_EQ(ErrorText(absl::NotFoundError("line\nfeed")), "provctl: line\\x0afeed\n");
}

TEST(Sizes, AreReadAndWritten) {
  const std::map<std::string, int64_t> kGood = {
      {"0", 0},          {"1", 1},        {"512k", 512 << 10},        {"512K", 512 << 10},
      {"10M", 10 << 20}, {"1G", 1 << 30}, {"1024T", int64_t{1} << 50}};
  for (const auto& [text, octets] : kGood) {
    int64_t read = -1;
    EXPECT_TRUE(ParseSize(text, read).ok()) << text;
    EXPECT_EQ(read, octets) << text;
  }
  for (const char* text : {"", "G", "-1", "+1", "1.5G", "1g", "1GB", " 1G", "1 G", "1025T",
                           "18446744073709551616", "99999999999999999999999999G", "1\x1b"}) {
    int64_t read = -1;
    const absl::Status status = ParseSize(text, read);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_EQ(read, -1) << text;
    EXPECT_EQ(ErrorText(status).find('\x1b'), std::string::npos);
  }
  EXPECT_EQ(SizeText(0), "default");
  EXPECT_EQ(SizeText(1000), "1000");
  EXPECT_EQ(SizeText(1 << 30), "1G");
  EXPECT_EQ(SizeText(1536 << 10), "1536k");
}

TEST(Timeouts, NeedAUnitAndHaveAnEnd) {
  std::chrono::milliseconds timeout(0);
  EXPECT_TRUE(ParseTimeout("500ms", timeout).ok());
  EXPECT_EQ(timeout.count(), 500);
  EXPECT_TRUE(ParseTimeout("24h", timeout).ok());
  EXPECT_EQ(timeout.count(), 86'400'000);
  for (const char* text : {"", "30", "0s", "-1s", "25h", "1d", "9223372036854775807h", "1.5s"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseTimeout(text, timeout))) << text;
  }
}

TEST(Nearest, FindsTypingErrorsAndNothingElse) {
  const std::vector<std::string> names = {"add-user", "add-domain", "show-user", "wait"};
  EXPECT_EQ(Nearest("add-usr", names), "add-user");
  EXPECT_EQ(Nearest("adduser", names), "add-user");
  EXPECT_EQ(Nearest("wiat", names), "wait");
  EXPECT_EQ(Nearest("frobnicate", names), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'x'), names), "");
}

TEST(Wait, LineOfAFollower) {
  v1::FollowerProgress follower;
  follower.set_name("hosts/proxy1");
  follower.set_role(v1::POP_PROXY);
  follower.set_state(v1::FollowerProgress::CURRENT);
  follower.set_applied_revision(1042);
  follower.mutable_took()->set_nanos(12'000'000);
  const std::string line = FollowerLine(follower);
  EXPECT_NE(line.find("proxy1 (pop-proxy)"), std::string::npos) << line;
  EXPECT_NE(line.find("applied 1042"), std::string::npos) << line;
  EXPECT_NE(line.find("12 ms"), std::string::npos) << line;
  follower.clear_took();
  follower.set_state(v1::FollowerProgress::BEHIND);
  follower.mutable_time_to_go()->set_seconds(11);
  follower.mutable_time_to_go()->set_nanos(1);
  EXPECT_NE(FollowerLine(follower).find("behind   applied 1042      12 s to go"), std::string::npos)
      << FollowerLine(follower);
  follower.mutable_time_to_go()->set_seconds(3601);
  EXPECT_NE(FollowerLine(follower).find("61 min to go"), std::string::npos) << FollowerLine(follower);
  follower.clear_time_to_go();
  follower.set_state(v1::FollowerProgress::STUCK);
  follower.set_cause("disk full\x1b[2J");
  follower.set_failing_items(3);
  const std::string stuck = FollowerLine(follower);
  EXPECT_NE(stuck.find("3 failing  disk full\\x1b[2J"), std::string::npos) << stuck;
}

}  // namespace
}  // namespace prov::cli
