// What plans allow, and who the client is, over real sessions.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <utime.h>

#include <filesystem>
#include <fstream>

#include "agents/mail/maildir/layout.h"
#include "agents/mail/pop3/mailbox_terms.h"
#include "agents/mail/pop3/testing/test_service.h"

namespace prov::pop3 {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;

PlanTerms TermsOf(std::chrono::seconds delay, std::chrono::hours expire) {
  AgentConfig::Engine::Pop3 config;
  config.plan_login_delay = {{"free", delay}};
  config.plan_expire = {{"free", expire}};
  return PlanTerms(config);
}

class Pop3PlanTest : public testing::Test {
 protected:
  Pop3PlanTest() {
    service_.host.SetMailbox("alice@example.net", 1, v1::ALLOW, "free");
    mailbox_ = *maildir::MailboxPath(service_.host.MaildirRoot(), "alice");
  }

  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const char* part : {"/new", "/cur"}) {
      for (const auto& entry : fs::directory_iterator(mailbox_ + part))
        names.push_back(entry.path().filename());
    }
    return names;
  }

  // Opens a session, and ends it by QUIT after these commands, each of one line of answer but RETR and TOP.
  std::string Session(uint16_t port, const std::vector<std::string>& commands) {
    TestClient client(port);
    std::string said = client.LogIn();
    for (const std::string& command : commands) {
      said += client.Ask(command);
      if (command.starts_with("RETR") || command.starts_with("TOP")) client.UpToDot();
    }
    said += client.Ask("QUIT");
    client.UpToEnd();
    return said;
  }

  TestService service_;
  std::string mailbox_;
};

TEST_F(Pop3PlanTest, WhoComesTooSoonIsRefusedOnEveryCloneOfThePool) {
  const PlanTerms terms = TermsOf(hours(1), hours(0));
  const uint16_t port = service_.StartServer({}, {}, terms), clone = service_.StartServer({}, {}, terms);
  EXPECT_TRUE(TestClient(port).LogIn().starts_with("+OK"));
  service_.WaitForNoSessions();
  EXPECT_TRUE(TestClient(port).LogIn().starts_with("-ERR [LOGIN-DELAY] "));
  EXPECT_TRUE(TestClient(clone).LogIn().starts_with("-ERR [LOGIN-DELAY] "));
  EXPECT_EQ(TestClient(port).LogIn("alice@example.net", "wrong"), "-ERR [AUTH] Login failed\r\n")
      << "only who knows the password learns of it";
  EXPECT_TRUE(TestClient(port).LogIn("bob@example.net").starts_with("+OK")) << "another plan";
  // An hour later. The refused ones have not begun it anew.
  const utimbuf hour_ago{time(nullptr) - 3601, time(nullptr) - 3601};
  ASSERT_EQ(utime((mailbox_ + "/prov-last-login").c_str(), &hour_ago), 0);
  EXPECT_TRUE(TestClient(clone).LogIn().starts_with("+OK"));
}

TEST_F(Pop3PlanTest, ALoginOfTheFutureHoldsNobodyUp) {
  const uint16_t port = service_.StartServer({}, {}, TermsOf(hours(1), hours(0)));
  EXPECT_TRUE(TestClient(port).LogIn().starts_with("+OK"));
  service_.WaitForNoSessions();
  const utimbuf tomorrow{time(nullptr) + 86400, time(nullptr) + 86400};
  ASSERT_EQ(utime((mailbox_ + "/prov-last-login").c_str(), &tomorrow), 0);
  EXPECT_TRUE(TestClient(port).LogIn().starts_with("+OK"));
}

TEST_F(Pop3PlanTest, CapaTellsOnesOwnTermsAfterLogin) {
  const uint16_t port = service_.StartServer({}, {}, TermsOf(hours(1), hours(24 * 30)));
  TestClient client(port), other(port);
  client.Ask("CAPA");
  const std::string before = client.UpToDot();
  EXPECT_NE(before.find("EXPIRE 30 USER\r\nLOGIN-DELAY 3600 USER\r\n"), std::string::npos) << before;
  client.LogIn();
  client.Ask("CAPA");
  EXPECT_NE(client.UpToDot().find("EXPIRE 30\r\nLOGIN-DELAY 3600\r\n"), std::string::npos);
  other.LogIn("bob@example.net");
  other.Ask("CAPA");
  const std::string bobs = other.UpToDot();
  EXPECT_NE(bobs.find("EXPIRE NEVER\r\n"), std::string::npos) << bobs;
  EXPECT_EQ(bobs.find("LOGIN-DELAY"), std::string::npos) << bobs;
}

// The time since the mark is the inode's, which no test can set: what is young stays, and what has no mark.
TEST_F(Pop3PlanTest, WhatWasFetchedIsMarkedAndKeptForItsTime) {
  const uint16_t port = service_.StartServer({}, {}, TermsOf(std::chrono::seconds(0), hours(24)));
  for (const char* text : {"one\r\n", "two\r\n", "three\r\n"}) service_.Deliver("alice", text);
  Session(port, {"RETR 1", "TOP 2 0", "RETR 3", "DELE 3"});
  std::vector<std::string> names = Names();
  ASSERT_EQ(names.size(), 2u);
  EXPECT_FALSE(names[0].ends_with(":2,S")) << "a part of it is not the mail";
  EXPECT_TRUE(names[1].ends_with(":2,S"));
  EXPECT_TRUE(Session(port, {"STAT"}).find("+OK 2 10\r\n") != std::string::npos);
  EXPECT_EQ(Names().size(), 2u);
}

TEST_F(Pop3PlanTest, WhoDeletesNothingHasItMarkedAllTheSame) {
  const uint16_t port = service_.StartServer({}, {}, TermsOf(std::chrono::seconds(0), hours(24)));
  service_.Deliver("alice", "one\r\n");
  Session(port, {"RETR 1"});
  ASSERT_EQ(Names().size(), 1u);
  EXPECT_TRUE(Names()[0].ends_with(":2,S")) << Names()[0];
}

TEST_F(Pop3PlanTest, WhereNothingExpiresNothingIsRenamed) {
  const uint16_t port = service_.StartServer();
  service_.Deliver("alice", "one\r\n");
  const auto before = Names();
  Session(port, {"RETR 1"});
  EXPECT_EQ(Names(), before);
}

TEST_F(Pop3PlanTest, WithoutQuitNothingIsMarked) {
  const uint16_t port = service_.StartServer({}, {}, TermsOf(std::chrono::seconds(0), hours(24)));
  service_.Deliver("alice", "one\r\n");
  const auto before = Names();
  {
    TestClient client(port);
    client.LogIn();
    client.Ask("RETR 1");
    client.UpToDot();
  }
  service_.WaitForNoSessions();
  EXPECT_EQ(Names(), before);
}

TEST_F(Pop3PlanTest, ATrustedProxySaysWhoTheClientIs) {
  testing::internal::CaptureStdout();
  const uint16_t port = service_.StartServer({}, {}, {}, *net::AddressSet::Parse({"127.0.0.0/8"}));
  TestClient client(port);
  EXPECT_EQ(client.Ask("XCLIENT ADDR=192.0.2.99 PORT=50123 SESSION=trace-7"), "+OK Updated\r\n");
  EXPECT_TRUE(client.LogIn().starts_with("+OK"));
  client.Ask("QUIT");
  client.UpToEnd();
  service_.WaitForNoSessions();
  const std::string log = testing::internal::GetCapturedStdout();
  for (const char* event : {" login ", " pop3_session_ended "}) {
    const size_t at = log.find(event);
    ASSERT_NE(at, std::string::npos) << event << log;
    const std::string line = log.substr(at, log.find('\n', at) - at);
    EXPECT_NE(line.find("remote=192.0.2.99"), std::string::npos) << line;
    EXPECT_NE(line.find("session=trace-7"), std::string::npos) << line;
  }
}

// The growing delay is the client's, not the proxy's: another client of the same proxy does not pay for it.
TEST_F(Pop3PlanTest, FailuresCountForTheClientNotForItsProxy) {
  const uint16_t port = service_.StartServer({}, {}, {}, *net::AddressSet::Parse({"127.0.0.1"}));
  const auto fail = [&](const std::string& address) {
    TestClient client(port);
    client.Ask("XCLIENT ADDR=" + address);
    const auto started = std::chrono::steady_clock::now();
    EXPECT_EQ(client.LogIn("alice@example.net", "wrong"), "-ERR [AUTH] Login failed\r\n");
    return std::chrono::steady_clock::now() - started;
  };
  fail("192.0.2.1");
  const auto second = fail("192.0.2.1"), other = fail("198.51.100.1");
  EXPECT_LT(other, second);
}

TEST_F(Pop3PlanTest, WhoIsNotTrustedCannotSpeakForOthers) {
  const uint16_t port = service_.StartServer({}, {}, {}, *net::AddressSet::Parse({"192.0.2.0/24"}));
  EXPECT_TRUE(TestClient(port).Ask("XCLIENT ADDR=192.0.2.99").starts_with("-ERR "));
}

}  // namespace
}  // namespace prov::pop3
