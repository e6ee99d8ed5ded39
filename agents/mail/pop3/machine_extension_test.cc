// RFC 2449's EXPIRE and LOGIN-DELAY, RFC 6856, and XCLIENT.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "agents/mail/pop3/machine.h"
#include "agents/mail/pop3/testing/machine_fixture.h"

namespace prov::pop3 {
namespace {

class ExtendedMachine : public MachineTest {
 protected:
  ExtendedMachine()
      : MachineTest(net::TlsUse::kOnDemand,
                    {.utf8 = true, .capabilities = {"EXPIRE 30 USER", "LOGIN-DELAY 900 USER"}}) {
    capabilities_ = {"EXPIRE 60"};
  }
};

TEST_F(ExtendedMachine, CapaTellsWhatAnybodyHasAndThenOnesOwn) {
  const std::string before = Say("CAPA\r\n");
  for (const char* line : {"EXPIRE 30 USER", "LOGIN-DELAY 900 USER", "UTF8 USER", "LANG"}) {
    EXPECT_NE(before.find(fmt::format("\r\n{}\r\n", line)), std::string::npos) << line;
  }
  LogIn();
  const std::string after = Say("CAPA\r\n");
  EXPECT_NE(after.find("\r\nEXPIRE 60\r\n"), std::string::npos) << after;
  EXPECT_EQ(after.find("LOGIN-DELAY"), std::string::npos) << after;
}

TEST_F(ExtendedMachine, WhoLogsInTooSoonIsToldSo) {
  EXPECT_TRUE(Say("USER a\r\nPASS toosoon\r\n").find("-ERR [LOGIN-DELAY] ") != std::string::npos);
}

TEST_F(ExtendedMachine, Utf8IsForBeforeTheLoginAndHasNoArgument) {
  EXPECT_TRUE(Say("UTF8 USER\r\n").starts_with("-ERR"));
  EXPECT_TRUE(Say("utf8\r\n").starts_with("+OK"));
  EXPECT_TRUE(Say("UTF8\r\n").starts_with("+OK")) << "again does no harm";
  LogIn();
  EXPECT_TRUE(Say("UTF8\r\n").starts_with("-ERR"));
}

// RFC 6856 section 2.1.
TEST_F(ExtendedMachine, StlsAfterUtf8IsRefused) {
  Say("UTF8\r\n");
  EXPECT_EQ(Say("STLS\r\n"), "-ERR STLS comes before UTF8\r\n");
  EXPECT_EQ(handshakes_, 0);
}

// RFC 6856 section 2.2.
TEST_F(ExtendedMachine, NamesAndPasswordsAreUtf8BeforeTheCommandToo) {
  Say("USER \xc3\xa4lice\r\nPASS gr\xc3\xbc\xc3\x9f\r\n");
  EXPECT_EQ(login_, "\xc3\xa4lice");
  EXPECT_EQ(password_, "gr\xc3\xbc\xc3\x9f");
  EXPECT_TRUE(Say("USER \xe4lice\r\n").starts_with("-ERR"));
  EXPECT_EQ(logins_, 1);
}

TEST_F(ExtendedMachine, APasswordThatIsNoUtf8IsRefusedAndTheNameForgotten) {
  Say("USER alice\r\n");
  EXPECT_TRUE(Say("PASS gr\xfc\r\n").starts_with("-ERR"));
  EXPECT_EQ(Say("PASS right\r\n"), "-ERR USER comes first\r\n");
  EXPECT_EQ(logins_, 0);
}

// RFC 6856 section 3.
TEST_F(ExtendedMachine, LangListsAndChoosesInBothStates) {
  for (int state = 0; state < 2; ++state) {
    EXPECT_EQ(Say("LANG\r\n"), "+OK Languages follow\r\nen English\r\ni-default English\r\n.\r\n");
    EXPECT_EQ(Say("LANG EN\r\n"), "+OK en English it is\r\n");
    EXPECT_EQ(Say("LANG en-GB\r\n"), "+OK en English it is\r\n");
    EXPECT_EQ(Say("LANG i-default\r\n"), "+OK i-default English it is\r\n");
    EXPECT_EQ(Say("LANG *\r\n"), "+OK en English it is\r\n");
    for (const char* other : {"de", "eng", "e", "en_GB", "i", "x-klingon", "en en"}) {
      EXPECT_TRUE(Say(fmt::format("LANG {}\r\n", other)).starts_with("-ERR")) << other;
    }
    LogIn();
  }
  EXPECT_FALSE(closed_) << "a language that we have not is no mistake";
}

TEST_F(ExtendedMachine, XclientIsNotForEverybody) {
  EXPECT_EQ(Say("CAPA\r\n").find("XCLIENT"), std::string::npos);
  EXPECT_TRUE(Say("XCLIENT ADDR=192.0.2.1 PORT=1 SESSION=x\r\n").starts_with("-ERR"));
  EXPECT_TRUE(clients_.empty());
}

TEST_F(MachineTest, WhatIsNotOfferedIsUnknown) {
  EXPECT_EQ(Say("UTF8\r\n"), "-ERR Unknown command\r\n");
  EXPECT_EQ(Say("LANG\r\n"), "-ERR Unknown command\r\n");
  EXPECT_EQ(Say("CAPA\r\n").find("UTF8"), std::string::npos);
}

class TrustedMachine : public MachineTest {
 protected:
  TrustedMachine() : MachineTest(net::TlsUse::kOnDemand, {.trusted = true}) {}
};

TEST_F(TrustedMachine, XclientTellsWhoTheClientIs) {
  EXPECT_NE(Say("CAPA\r\n").find("\r\nXCLIENT\r\n"), std::string::npos);
  EXPECT_EQ(Say("XCLIENT ADDR=192.0.2.1 PORT=50123 SESSION=aB+/=:9\r\n"), "+OK Updated\r\n");
  ASSERT_EQ(clients_.size(), 1u);
  EXPECT_EQ(clients_[0].address, "192.0.2.1");
  EXPECT_EQ(clients_[0].port, 50123);
  EXPECT_EQ(clients_[0].session, "aB+/=:9");
  for (const char* address : {"IPV6:2001:DB8::1", "ipv6:2001:db8::1", "2001:db8:0::1"}) {
    EXPECT_EQ(Say(fmt::format("xclient addr={}\r\n", address)), "+OK Updated\r\n") << address;
    EXPECT_EQ(clients_.back().address, "2001:db8::1");
  }
  EXPECT_EQ(Say("XCLIENT ADDR=::ffff:192.0.2.7\r\n"), "+OK Updated\r\n");
  EXPECT_EQ(clients_.back().address, "192.0.2.7");
  EXPECT_EQ(Say("XCLIENT TTL=3 FORWARD=eA== CLIENT_TRANSPORT=TLS\r\n"), "+OK Updated\r\n");
  EXPECT_EQ(clients_.back().address, "");
}

TEST_F(TrustedMachine, MalformedXclientIsRefused) {
  LogIn();
  EXPECT_TRUE(Say("XCLIENT ADDR=192.0.2.1\r\n").starts_with("-ERR")) << "not after the login";
  EXPECT_EQ(Say("CAPA\r\n").find("XCLIENT"), std::string::npos);
  EXPECT_TRUE(clients_.empty());
}

class XclientArgument : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Bad, XclientArgument,
                         testing::Values("ADDR", "ADDR=", "ADDR=192.0.2", "ADDR=192.0.2.1:5", "ADDR=::1%lo",
                                         "ADDR=[::1]", "ADDR=host.example", "PORT=", "PORT=-1", "PORT=65536",
                                         "PORT=1x", "SESSION=", "SESSION=a\x7f", "192.0.2.1", "=",
                                         "ADDR=IPV6:"));
TEST_P(XclientArgument, IsRefused) {
  if (std::string_view(GetParam()) == "=") {
    EXPECT_TRUE(ParseXclient(GetParam())) << "a name that we do not know";
    return;
  }
  EXPECT_FALSE(ParseXclient(GetParam())) << GetParam();
  EXPECT_FALSE(ParseXclient(fmt::format("ADDR=192.0.2.1 {}", GetParam()))) << GetParam();
}

TEST(Xclient, ASessionsNameHasALimit) {
  EXPECT_TRUE(ParseXclient("SESSION=" + std::string(64, 'a')));
  EXPECT_FALSE(ParseXclient("SESSION=" + std::string(65, 'a')));
}

TEST_F(TrustedMachine, AUserNamedBeforeXclientIsForgotten) {
  Say("USER alice\r\nXCLIENT ADDR=192.0.2.1\r\n");
  EXPECT_EQ(Say("PASS right\r\n"), "-ERR USER comes first\r\n");
}

// As Dovecot's: a proxy may send all of it in one go.
TEST_F(TrustedMachine, XclientMayBePipelined) {
  EXPECT_EQ(Say("XCLIENT ADDR=192.0.2.1 PORT=1 SESSION=x\r\nUSER alice\r\nPASS right\r\n"),
            "+OK Updated\r\n+OK Send the password\r\n+OK 3 messages (327 octets)\r\n");
  EXPECT_EQ(clients_.size(), 1u);
}

TEST_F(TrustedMachine, ATrustedProxyMayAuthInClear) {
  EXPECT_NE(Say("CAPA\r\n").find("\r\nSASL PLAIN\r\n"), std::string::npos);
  EXPECT_TRUE(Say("AUTH PLAIN AGFsaWNlAHJpZ2h0\r\n").starts_with("+OK 3 messages"));
}

// RFC 5034 section 4: what PASS has no room for. AUTH's own line is as short as any.
TEST_F(TrustedMachine, ALongPasswordComesByAuthInALineOfItsOwn) {
  const std::string message = std::string("\0alice\0", 7) + std::string(500, 'p');
  std::string encoded;
  absl::Base64Escape(absl::string_view(message.data(), message.size()), &encoded);
  EXPECT_TRUE(Say("AUTH PLAIN " + encoded + "\r\n").starts_with("-ERR Line too long"));
  EXPECT_TRUE(Say("AUTH PLAIN\r\n" + encoded + "\r\n").starts_with("+ \r\n-ERR [AUTH]"));
  EXPECT_EQ(password_, std::string(500, 'p'));
}

// RFC 4616 section 2: an authorisation identity. Counted as a failure, or it could be tried for ever.
TEST_F(TrustedMachine, NobodyLogsInForAnother) {
  std::string encoded;
  absl::Base64Escape(absl::string_view("bob\0alice\0right", 15), &encoded);
  for (int i = 0; i < kMaxLoginFailures; ++i) {
    EXPECT_FALSE(closed_);
    EXPECT_EQ(Say("AUTH PLAIN " + encoded + "\r\n"), "-ERR [AUTH] Nobody logs in for another\r\n");
  }
  EXPECT_TRUE(closed_);
  EXPECT_EQ(logins_, 0);
}

// What would mean something to a shell, a path, SQL or LDAP is a name like any other, and gets the same
// answers.
class NameVector : public MachineTest, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Of, NameVector,
                         testing::Values("*", ")(uid=*", "\\", "\\2a", "|", ";sh;", "/../",
                                         "../../etc/passwd", "%n%n", "!", "-x", ".", "\"\"", "x'/**/UNION",
                                         "<>", "a@b@c", "$(id)", "`id`"));
TEST_P(NameVector, IsPassedOnAsItIs) {
  EXPECT_EQ(Say(fmt::format("USER {}\r\n", GetParam())), "+OK Send the password\r\n");
  EXPECT_EQ(Say("PASS wrong\r\n"), "-ERR [AUTH] Login failed\r\n");
  EXPECT_EQ(login_, GetParam());
}

// Inside TLS the exchange that was begun in clear is forgotten as a USER is.
TEST_F(TrustedMachine, AnAuthThatWasBegunInClearDoesNotGoOnInsideTls) {
  machine_.Input("AUTH PLAIN\r\n");
  EXPECT_EQ(Run(), "+ \r\n");
  machine_.Secured();
  EXPECT_EQ(Say("AGFsaWNlAHJpZ2h0\r\n"), "-ERR Unknown command\r\n");
  EXPECT_EQ(logins_, 0);
}

class SaslVector : public TrustedMachine, public testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Of, SaslVector,
                         testing::Values("AAAA", "=", "AGFsaWNlAA==", "AGFsaWNlAHJpZ2h0AHg",
                                         "AGFsaWNlAHJpZ2h0 ", "AGEKYgByaWdodA==", "AGFsaWNlAHJpDWdodA==",
                                         "!!!!", "", std::string(2052, 'A'), std::string(12 * 1024, 'A'),
                                         std::string(60 * 1024, 'A')));
TEST_P(SaslVector, ThatIsMalformedLogsNobodyInAndCommandsGoOn) {
  EXPECT_TRUE(Say("AUTH PLAIN\r\n" + GetParam() + "\r\n").find("-ERR ") != std::string::npos);
  EXPECT_EQ(logins_, 0);
  EXPECT_TRUE(LogIn().ends_with("+OK 3 messages (327 octets)\r\n"));
}

TEST_F(MachineTest, QuitAfterTheLoginAlwaysAsksTheCaller) {
  Say("QUIT\r\n");
  EXPECT_EQ(leavings_, 0);
  Machine machine("x", net::TlsUse::kNone);
  machine.Next();
  machine.Input("USER a\r\nPASS b\r\nQUIT\r\n");
  machine.Next();
  ASSERT_EQ(machine.Next().kind, Step::Kind::kLogin);
  machine.LoggedIn(messages_);
  machine.Next();
  const Step leaving = machine.Next();
  EXPECT_EQ(leaving.kind, Step::Kind::kRemove);
  EXPECT_TRUE(leaving.indices.empty());
}

}  // namespace
}  // namespace prov::pop3
