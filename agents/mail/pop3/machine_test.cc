#include "agents/mail/pop3/machine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "agents/mail/pop3/testing/machine_fixture.h"

namespace prov::pop3 {
namespace {

using Kind = Step::Kind;

TEST(Machine, GreetsFirst) {
  Machine machine("mail.example.net", net::TlsUse::kNone);
  EXPECT_EQ(machine.Next().output, "+OK mail.example.net POP3 ready\r\n");
  EXPECT_EQ(machine.Next().kind, Kind::kNeedInput);
}

TEST_F(MachineTest, LogsInAndTellsTheMaildrop) {
  EXPECT_EQ(LogIn(), "+OK Send the password\r\n+OK 3 messages (327 octets)\r\n");
  EXPECT_EQ(Say("STAT\r\n"), "+OK 3 327\r\n");
  EXPECT_EQ(Say("list\r\n"), "+OK 3 messages (327 octets)\r\n1 120\r\n2 200\r\n3 7\r\n.\r\n");
  EXPECT_EQ(Say("LIST 2\r\n"), "+OK 2 200\r\n");
  EXPECT_EQ(Say("UIDL\r\n"), "+OK 3 messages (327 octets)\r\n1 id-one\r\n2 id-two\r\n3 id-three\r\n.\r\n");
  EXPECT_EQ(Say("UIDL 3\r\n"), "+OK 3 id-three\r\n");
  EXPECT_EQ(Say("NOOP\r\n"), "+OK\r\n");
}

TEST_F(MachineTest, CapaSaysWhatIsTrueBeforeAndAfterLogin) {
  const std::string before = Say("CAPA\r\n");
  for (const char* line : {"TOP", "USER", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"}) {
    EXPECT_NE(before.find(fmt::format("\r\n{}\r\n", line)), std::string::npos) << line;
  }
  EXPECT_EQ(before.find("STLS"), std::string::npos);
  EXPECT_TRUE(before.ends_with("\r\n.\r\n"));
  LogIn();
  EXPECT_EQ(Say("CAPA\r\n"), before);
}

TEST_F(MachineTest, EveryNameGetsTheSameAnswer) {
  const std::string to_alice = Say("USER alice\r\n");
  EXPECT_EQ(Say("USER nobody\r\n"), to_alice);
  EXPECT_EQ(Say("PASS wrong\r\n"), "-ERR [AUTH] Login failed\r\n");
  EXPECT_EQ(login_, "nobody");
}

TEST_F(MachineTest, PasswordMayHoldSpacesAndEightBit) {
  Say("USER alice\r\nPASS  a b \xc3\xa9 \r\n");
  EXPECT_EQ(password_, " a b \xc3\xa9 ");
}

TEST_F(MachineTest, FailuresAreToldWithResponseCodes) {
  EXPECT_EQ(Say("USER a\r\nPASS inuse\r\n"),
            "+OK Send the password\r\n-ERR [IN-USE] Another session has the mailbox\r\n");
  EXPECT_EQ(Say("USER a\r\nPASS down\r\n"), "+OK Send the password\r\n-ERR [SYS/TEMP] Try again later\r\n");
}

TEST_F(MachineTest, ThreeFailedLoginsEndTheSession) {
  Say("USER a\r\nPASS x\r\nUSER a\r\nPASS x\r\n");
  EXPECT_FALSE(closed_);
  Say("USER a\r\nPASS x\r\nUSER a\r\nPASS right\r\n");
  EXPECT_TRUE(closed_);
  EXPECT_EQ(logins_, 3);
}

TEST_F(MachineTest, ThreeBadCommandsBeforeLoginEndTheSession) {
  Say("GET / HTTP/1.1\r\nHost: x\r\n");
  EXPECT_FALSE(closed_);
  Say("\r\n");
  EXPECT_TRUE(closed_);
}

TEST_F(MachineTest, PassNeedsUserBeforeIt) {
  EXPECT_EQ(Say("PASS right\r\n"), "-ERR USER comes first\r\n");
  // A name serves one password.
  Say("USER alice\r\nPASS wrong\r\n");
  EXPECT_EQ(Say("PASS right\r\n"), "-ERR USER comes first\r\n");
  EXPECT_EQ(logins_, 1);
}

TEST_F(MachineTest, CommandsOutOfPlaceAreRefused) {
  EXPECT_TRUE(Say("STAT\r\n").starts_with("-ERR"));
  LogIn();
  EXPECT_TRUE(Say("USER bob\r\n").starts_with("-ERR"));
  EXPECT_TRUE(Say("PASS right\r\n").starts_with("-ERR"));
  EXPECT_EQ(logins_, 1);
}

class NumberTest : public MachineTest, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(EachVerb, NumberTest, testing::Values("LIST", "UIDL", "RETR", "DELE"));

TEST_P(NumberTest, ThatIsNoMessageIsRefused) {
  LogIn();
  Say("DELE 2\r\n");
  for (const char* number :
       {"0", "-1", "4", "4294967296", "4294967297", "18446744073709551616", "18446744073709551617",
        "99999999999999999999999999", "2", "+1", "1a", "0x1", "1 1", "'", "%n", "*"}) {
    const std::string said = Say(fmt::format("{} {}\r\n", GetParam(), number));
    EXPECT_TRUE(said.starts_with("-ERR") && said.find('\n') == said.size() - 1) << number << said;
    EXPECT_EQ(Say("STAT\r\n"), "+OK 2 127\r\n") << number;
  }
}

TEST_F(MachineTest, TopTakesZeroAndHugeLineCounts) {
  LogIn();
  EXPECT_EQ(Say("TOP 1 0\r\n"), "+OK Top of the message follows\r\n<0>\r\n.\r\n");
  EXPECT_EQ(body_lines_, 0u);
  Say("TOP 3 99999999999999999999999999\r\n");
  EXPECT_EQ(body_lines_, UINT64_MAX);
  EXPECT_TRUE(Say("TOP 1\r\n").starts_with("-ERR"));
  EXPECT_TRUE(Say("TOP 1 -1\r\n").starts_with("-ERR"));
  EXPECT_TRUE(Say("TOP 0 1\r\n").starts_with("-ERR"));
  EXPECT_TRUE(Say("TOP 4294967297 1\r\n").starts_with("-ERR"));
}

TEST_F(MachineTest, DeletedOnesAreNotCountedUntilRset) {
  LogIn();
  EXPECT_EQ(Say("DELE 1\r\n"), "+OK Deleted\r\n");
  EXPECT_EQ(Say("STAT\r\n"), "+OK 2 207\r\n");
  EXPECT_EQ(Say("LIST\r\n"), "+OK 2 messages (207 octets)\r\n2 200\r\n3 7\r\n.\r\n");
  EXPECT_EQ(Say("UIDL\r\n"), "+OK 2 messages (207 octets)\r\n2 id-two\r\n3 id-three\r\n.\r\n");
  EXPECT_TRUE(Say("RETR 1\r\n").starts_with("-ERR"));
  EXPECT_EQ(Say("RSET\r\n"), "+OK 3 messages (327 octets)\r\n");
  EXPECT_EQ(Say("LIST 1\r\n"), "+OK 1 120\r\n");
}

TEST_F(MachineTest, QuitRemovesWhatIsMarked) {
  LogIn();
  Say("DELE 3\r\nDELE 1\r\n");
  EXPECT_EQ(Say("QUIT\r\n"), "+OK Bye\r\n");
  EXPECT_EQ(removed_, (std::vector<size_t>{0, 2}));
  EXPECT_TRUE(closed_);
}

TEST_F(MachineTest, QuitSaysSoWhenRemovalFailed) {
  LogIn();
  unlink_fails_ = true;
  EXPECT_TRUE(
      Say("DELE 1\r\nQUIT\r\n").ends_with("-ERR [SYS/TEMP] Some deleted messages were not removed\r\n"));
}

TEST_F(MachineTest, NothingIsRemovedWithoutQuit) {
  LogIn();
  Say("DELE 1\r\nDELE 2\r\n");
  EXPECT_TRUE(removed_.empty());
}

TEST_F(MachineTest, QuitBeforeLoginRemovesNothing) {
  EXPECT_EQ(Say("QUIT\r\n"), "+OK Bye\r\n");
  EXPECT_TRUE(closed_);
  EXPECT_TRUE(removed_.empty());
}

TEST_F(MachineTest, AMessageGoneIsNotSilence) {
  LogIn();
  gone_ = true;
  EXPECT_EQ(Say("RETR 1\r\n"), "-ERR The message is gone\r\n");
  EXPECT_EQ(Say("NOOP\r\n"), "+OK\r\n");
}

TEST_F(MachineTest, PipelinedCommandsAreAnsweredInOrder) {
  EXPECT_EQ(
      Say("USER alice\r\nPASS right\r\nSTAT\r\nRETR 2\r\nDELE 2\r\nSTAT\r\nQUIT\r\nNOOP\r\n"),
      "+OK Send the password\r\n+OK 3 messages (327 octets)\r\n+OK 3 327\r\n+OK 200 octets\r\n<1>\r\n.\r\n"
      "+OK Deleted\r\n+OK 2 127\r\n+OK Bye\r\n");
}

TEST_F(MachineTest, OctetByOctetIsTheSame) {
  std::string said;
  for (const char c : std::string_view("USER alice\r\nPASS right\r\nSTAT\r\n"))
    said += Say(std::string(1, c));
  EXPECT_EQ(said, "+OK Send the password\r\n+OK 3 messages (327 octets)\r\n+OK 3 327\r\n");
}

TEST_F(MachineTest, LinesUpToTheLimitAreTaken) {
  for (const size_t octets : {255, 511, 512}) {
    Say("USER " + std::string(octets - 7, 'a') + "\r\n");
    Say("PASS wrong\r\n");
    EXPECT_EQ(login_.size(), octets - 7);
  }
}

TEST_F(MachineTest, LongerLinesAreRefusedOnceAndSkipped) {
  LogIn();
  for (const size_t octets : {513, 2048, 65536}) {
    EXPECT_EQ(Say(std::string(octets - 2, 'A') + "\r\nNOOP\r\n"), "-ERR Line too long\r\n+OK\r\n") << octets;
  }
  EXPECT_FALSE(closed_);
}

TEST_F(MachineTest, AMebibyteWithoutLineEndEndsTheSession) {
  LogIn();
  for (int i = 0; i < 1024 && !closed_; ++i) Say(std::string(1024, 'A'));
  EXPECT_TRUE(closed_);
}

TEST_F(MachineTest, NulAndControlCharactersAreRefused) {
  EXPECT_TRUE(Say(std::string_view("USER al\0ice\r\n", 13)).starts_with("-ERR Control"));
  EXPECT_TRUE(Say("USER a\rb\r\n").starts_with("-ERR Control"));
  EXPECT_EQ(logins_, 0);
}

TEST_F(MachineTest, AnsweringGoesOnAfterTwentyMistakesNoLonger) {
  LogIn();
  for (int i = 0; i < kMaxBadCommandsAfterLogin - 1; ++i) Say("XYZZY\r\n");
  EXPECT_FALSE(closed_);
  Say("XYZZY\r\n");
  EXPECT_TRUE(closed_);
}

TEST(Machine, AListingOfManyComesInPieces) {
  const std::vector<maildir::Message> many(50'000, maildir::Message{1, "uid"});
  Machine machine("x", net::TlsUse::kNone);
  machine.Input("USER a\r\nPASS b\r\nUIDL\r\n");
  size_t largest = 0;
  std::string said;
  for (;;) {
    Step step = machine.Next();
    if (step.kind == Kind::kNeedInput) break;
    if (step.kind == Kind::kLogin) machine.LoggedIn(many);
    largest = std::max(largest, step.output.size());
    said += step.output;
  }
  EXPECT_LT(largest, kListingChunkOctets + 100);
  EXPECT_TRUE(said.ends_with("\r\n50000 uid\r\n.\r\n"));
}

TEST_F(MachineWithTls, AuthPlainIsOfferedAndTakenInsideTlsAlone) {
  EXPECT_EQ(Say("CAPA\r\n").find("SASL"), std::string::npos);
  EXPECT_EQ(Say("AUTH PLAIN AGFsaWNlAHJpZ2h0\r\n"), "-ERR AUTH needs TLS\r\n");
  Say("STLS\r\n");
  EXPECT_NE(Say("CAPA\r\n").find("\r\nSASL PLAIN\r\n"), std::string::npos);
  EXPECT_EQ(Say("AUTH\r\n"), "+OK Mechanisms follow\r\nPLAIN\r\n.\r\n");
  EXPECT_EQ(Say("AUTH plain AGFsaWNlAHdyb25n\r\n"), "-ERR [AUTH] Login failed\r\n");
  EXPECT_EQ(Say("AUTH PLAIN\r\n"), "+ \r\n");
  EXPECT_TRUE(Say("AGFsaWNlAHJpZ2h0\r\n").starts_with("+OK 3 messages"));
  EXPECT_EQ(login_, "alice");
  EXPECT_EQ(password_, "right");
}

TEST_F(MachineWithTls, AnExchangeThatIsGivenUpOrMalformedEndsAndCommandsGoOn) {
  Say("STLS\r\n");
  EXPECT_EQ(Say("AUTH PLAIN\r\n*\r\n"), "+ \r\n-ERR Given up\r\n");
  EXPECT_EQ(Say("AUTH PLAIN !!!!\r\n"), "-ERR The response is malformed\r\n");
  EXPECT_EQ(logins_, 0);
  Say("AUTH CRAM-MD5\r\n");
  EXPECT_TRUE(closed_);  // the third of what is no command
}

TEST_F(MachineWithTls, StlsIsOfferedUntilItIsInUse) {
  EXPECT_NE(Say("CAPA\r\n").find("\r\nSTLS\r\n"), std::string::npos);
  EXPECT_EQ(Say("STLS\r\n"), "+OK Begin TLS\r\n");
  EXPECT_EQ(handshakes_, 1);
  EXPECT_EQ(Say("CAPA\r\n").find("STLS"), std::string::npos);
  EXPECT_TRUE(Say("STLS\r\n").starts_with("-ERR"));
  EXPECT_EQ(LogIn(), "+OK Send the password\r\n+OK 3 messages (327 octets)\r\n");
  EXPECT_EQ(Say("CAPA\r\n").find("STLS"), std::string::npos);
  EXPECT_TRUE(Say("STLS\r\n").starts_with("-ERR")) << "RFC 2595 section 4: not after the login";
}

// RFC 2595 section 4: what was said in clear counts no more.
TEST_F(MachineWithTls, AUserGivenInClearIsForgotten) {
  Say("USER mallory\r\n");
  Say("STLS\r\n");
  EXPECT_TRUE(Say("PASS right\r\n").starts_with("-ERR"));
  EXPECT_EQ(logins_, 0);
}

// What somebody on the way sends behind STLS must not be obeyed inside TLS: neither "USER x" nor "US", to
// which "ER x" would come.
TEST_F(MachineWithTls, WhatIsSentBehindStlsIsNeverObeyed) {
  EXPECT_EQ(Say("STLS\r\nUSE"), "-ERR Wait for the reply before you send more\r\n");
  EXPECT_TRUE(closed_);
  EXPECT_EQ(handshakes_, 0);
}

TEST(Machine, AnothersWordsAreSanitised) {
  EXPECT_EQ(SanitiseWords("[AUTH] no\r\n+OK \x01\xff fine"), "[AUTH] no+OK  fine");
  EXPECT_LE(SanitiseWords(std::string(10'000, 'x')).size(), 500u);
  Machine machine("x", net::TlsUse::kNone);
  machine.Next();
  machine.Input("USER a\r\nPASS b\r\nSTAT\r\n");
  machine.Next();
  ASSERT_EQ(machine.Next().kind, Kind::kLogin);
  machine.LoginRefusedWith("[IN-USE] busy\r\n+OK");
  EXPECT_EQ(machine.Next().output, "-ERR [IN-USE] busy+OK\r\n");
}

TEST(Machine, TheProxyTakesWhatCameBehindPass) {
  Machine machine("x", net::TlsUse::kNone);
  machine.Next();
  machine.Input("USER a\r\nPASS b\r\nSTAT\r\nLIS");
  machine.Next();
  ASSERT_EQ(machine.Next().kind, Kind::kLogin);
  EXPECT_EQ(machine.TakeRest(), "STAT\r\nLIS");
}

}  // namespace
}  // namespace prov::pop3
