#include "agents/mail/pop3/pop3_server.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "agents/mail/maildir/layout.h"
#include "agents/mail/pop3/testing/test_service.h"
#include "common/file.h"

namespace prov::pop3 {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr char kRefused[] = "-ERR [AUTH] Login failed\r\n";

class Pop3ServerTest : public testing::Test {
 protected:
  size_t Stored(const std::string& mailbox) {
    const std::string path = *maildir::MailboxPath(service_.host.MaildirRoot(), mailbox);
    size_t files = 0;
    for (const char* part : {"/new", "/cur"}) {
      for ([[maybe_unused]] const auto& entry : fs::directory_iterator(path + part)) ++files;
    }
    return files;
  }

  TestService service_;
};

std::string Stuffed(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && c == '.') out += '.';
    out += c;
    line_start = c == '\n';
  }
  return out + ".\r\n";
}

TEST_F(Pop3ServerTest, MailComesBackOctetForOctet) {
  std::string large = "Subject: large\r\n\r\n";
  for (int i = 0; i < 50'000; ++i)
    large += fmt::format(".{} {}\r\n", i, std::string(static_cast<size_t>(i % 90), 'x'));
  const std::vector<std::string> mails = {"A: b\r\n\r\n.\r\n..\r\n.x\r\n.\r\n",
                                          "\r\n",
                                          ".\r\n",
                                          "A: \xff\xfe\r\n\r\n\x80\x01\xc3\xa9\r\n",
                                          std::string("N: u\r\n\r\na\0b\r\n", 13),
                                          "L: ong\r\n\r\n" + std::string(200'000, 'y') + "\r\n",
                                          large};
  for (const std::string& mail : mails) service_.Deliver("alice", mail);
  const uint16_t port = service_.StartServer();
  TestClient client(port);
  ASSERT_EQ(client.LogIn().substr(0, 4), "+OK ");
  size_t octets = 0;
  for (const std::string& mail : mails) octets += mail.size();
  EXPECT_EQ(client.Ask("STAT"), fmt::format("+OK {} {}\r\n", mails.size(), octets));
  for (size_t i = 0; i < mails.size(); ++i) {
    EXPECT_EQ(client.Ask(fmt::format("RETR {}", i + 1)), fmt::format("+OK {} octets\r\n", mails[i].size()));
    EXPECT_TRUE(client.UpToDot() == Stuffed(mails[i])) << "mail " << i;
  }
  EXPECT_EQ(client.Ask("TOP 1 0").substr(0, 3), "+OK");
  EXPECT_EQ(client.UpToDot(), "A: b\r\n\r\n.\r\n");
  EXPECT_EQ(client.Ask("QUIT"), "+OK Bye\r\n");
  EXPECT_EQ(client.UpToEnd(), "");
  EXPECT_EQ(Stored("alice"), mails.size());
}

TEST_F(Pop3ServerTest, AllInOneSegmentOrOctetByOctet) {
  service_.Deliver("alice", "A: b\r\n\r\none\r\n");
  const uint16_t port = service_.StartServer();
  const std::string dialogue =
      "USER alice@example.net\r\nPASS right\r\nSTAT\r\nRETR 1\r\nUIDL\r\nNOOP\r\nQUIT\r\n";
  TestClient at_once(port);
  at_once.Send(dialogue);
  const std::string answers = at_once.UpToEnd();
  EXPECT_NE(answers.find("+OK 1 13\r\n+OK 13 octets\r\nA: b\r\n\r\none\r\n.\r\n"), std::string::npos)
      << answers;
  EXPECT_TRUE(answers.ends_with("\r\n.\r\n+OK\r\n+OK Bye\r\n")) << answers;
  TestClient slow(port);
  for (const char c : dialogue) slow.Send(std::string_view(&c, 1));
  EXPECT_EQ(slow.UpToEnd(), answers);
}

TEST_F(Pop3ServerTest, WrongAndUnknownGetTheSameWordsNotTooSoon) {
  const uint16_t port = service_.StartServer();
  const auto started = steady_clock::now();
  TestClient wrong(port), unknown(port);
  EXPECT_EQ(wrong.LogIn("alice@example.net", "wrong"), kRefused);
  EXPECT_GE(steady_clock::now() - started, seconds(2));
  EXPECT_EQ(unknown.LogIn("nobody@example.net", "right"), kRefused);
}

TEST_F(Pop3ServerTest, ASuspendedSubscriberIsRefusedAlthoughCached) {
  const uint16_t port = service_.StartServer();
  EXPECT_TRUE(TestClient(port).LogIn().starts_with("+OK"));
  service_.WaitForNoSessions();
  service_.host.SetMailbox("alice@example.net", 2, v1::REJECT_PERMANENTLY);
  EXPECT_EQ(TestClient(port).LogIn(), kRefused);
}

TEST_F(Pop3ServerTest, WithTheDirectoryDownOthersAreDeferred) {
  const uint16_t port = service_.StartServer();
  EXPECT_TRUE(TestClient(port).LogIn().starts_with("+OK"));
  service_.WaitForNoSessions();
  service_.host.TakeDirectoryDown();
  EXPECT_TRUE(TestClient(port).LogIn().starts_with("+OK"));
  EXPECT_EQ(TestClient(port).LogIn("bob@example.net"), "-ERR [SYS/TEMP] Try again later\r\n");
}

TEST_F(Pop3ServerTest, OneSessionAMailbox) {
  const uint16_t port = service_.StartServer();
  TestClient first(port), second(port), other(port);
  EXPECT_TRUE(first.LogIn().starts_with("+OK"));
  EXPECT_TRUE(second.LogIn().starts_with("-ERR [IN-USE] "));
  EXPECT_TRUE(other.LogIn("bob@example.net").starts_with("+OK"));
  EXPECT_EQ(first.Ask("QUIT"), "+OK Bye\r\n");
  EXPECT_TRUE(second.LogIn().starts_with("+OK"));
}

TEST_F(Pop3ServerTest, ALoginWaitsForTheMailboxBeforeItIsRefused) {
  const uint16_t port = service_.StartServer({.in_use = milliseconds(300)});
  TestClient first(port), second(port);
  ASSERT_TRUE(first.LogIn().starts_with("+OK"));
  const auto started = steady_clock::now();
  EXPECT_TRUE(second.LogIn().starts_with("-ERR [IN-USE] "));
  EXPECT_GE(steady_clock::now() - started, milliseconds(300));
}

// Without the wait for it.
TEST_F(Pop3ServerTest, WhoHasReadTheLastWordFindsTheMailboxFree) {
  const uint16_t port = service_.StartServer({.in_use = milliseconds(0)});
  auto current = std::make_unique<TestClient>(port);
  ASSERT_TRUE(current->LogIn().starts_with("+OK"));
  for (int round = 0; round < 100; ++round) {
    auto next = std::make_unique<TestClient>(port);
    next->Ask("USER alice@example.net");
    ASSERT_EQ(current->Ask("QUIT"), "+OK Bye\r\n");
    ASSERT_TRUE(next->Ask("PASS right").starts_with("+OK")) << "round " << round;
    current = std::move(next);
  }
}

TEST_F(Pop3ServerTest, QuitRemovesAndADroppedConnectionDoesNot) {
  for (int i = 0; i < 3; ++i) service_.Deliver("alice", "x\r\n");
  const uint16_t port = service_.StartServer();
  {
    TestClient dropped(port);
    ASSERT_TRUE(dropped.LogIn().starts_with("+OK 3 "));
    EXPECT_TRUE(dropped.Ask("DELE 1").starts_with("+OK"));
    EXPECT_TRUE(dropped.Ask("DELE 2").starts_with("+OK"));
  }
  service_.WaitForNoSessions();
  EXPECT_EQ(Stored("alice"), 3u);
  TestClient client(port);
  ASSERT_TRUE(client.LogIn().starts_with("+OK 3 "));
  EXPECT_TRUE(client.Ask("DELE 2").starts_with("+OK"));
  EXPECT_EQ(client.Ask("QUIT"), "+OK Bye\r\n");
  EXPECT_EQ(Stored("alice"), 2u);
}

TEST_F(Pop3ServerTest, QuitSaysWhenRemovalFailed) {
  service_.Deliver("alice", "x\r\n");
  const uint16_t port = service_.StartServer();
  TestClient client(port);
  ASSERT_TRUE(client.LogIn().starts_with("+OK 1 "));
  client.Ask("DELE 1");
  // A directory in the message's place cannot be unlinked, not even by root.
  const std::string box = *maildir::MailboxPath(service_.host.MaildirRoot(), "alice");
  const std::string file = fs::directory_iterator(box + "/new")->path();
  fs::remove(file);
  fs::create_directory(file);
  EXPECT_TRUE(client.Ask("QUIT").starts_with("-ERR [SYS/TEMP] "));
}

TEST_F(Pop3ServerTest, AMessageGoneIsToldAndTheSessionGoesOn) {
  service_.Deliver("alice", "one\r\n");
  service_.Deliver("alice", "two\r\n");
  const uint16_t port = service_.StartServer();
  TestClient client(port);
  ASSERT_TRUE(client.LogIn().starts_with("+OK 2 "));
  const std::string box = *maildir::MailboxPath(service_.host.MaildirRoot(), "alice");
  for (const auto& entry : fs::directory_iterator(box + "/new")) fs::remove(entry.path());
  EXPECT_EQ(client.Ask("RETR 1"), "-ERR The message is gone\r\n");
  EXPECT_EQ(client.Ask("TOP 2 1"), "-ERR The message is gone\r\n");
  EXPECT_EQ(client.Ask("NOOP"), "+OK\r\n");
}

TEST_F(Pop3ServerTest, MailThatArrivesMeanwhileIsNotSeen) {
  const uint16_t port = service_.StartServer();
  TestClient client(port);
  ASSERT_TRUE(client.LogIn().starts_with("+OK 0 "));
  service_.Deliver("alice", "late\r\n");
  EXPECT_EQ(client.Ask("STAT"), "+OK 0 0\r\n");
}

TEST_F(Pop3ServerTest, UidlStaysOverRestart) {
  service_.Deliver("alice", "one\r\n");
  std::string first;
  for (int round = 0; round < 2; ++round) {
    TestClient client(service_.StartServer());
    ASSERT_TRUE(client.LogIn().starts_with("+OK 1 "));
    const std::string uidl = client.Ask("UIDL 1");
    if (round == 0) first = uidl;
    EXPECT_EQ(uidl, first);
    client.Ask("QUIT");
  }
}

TEST_F(Pop3ServerTest, IdleSessionsEndWithoutRemoving) {
  service_.Deliver("alice", "x\r\n");
  const uint16_t port = service_.StartServer({.idle = milliseconds(200)});
  TestClient client(port);
  ASSERT_TRUE(client.LogIn().starts_with("+OK 1 "));
  client.Ask("DELE 1");
  EXPECT_EQ(client.UpToEnd(), "");
  service_.WaitForNoSessions();
  EXPECT_EQ(Stored("alice"), 1u);
}

TEST_F(Pop3ServerTest, TricklingOctetsDoNotKeepASessionOpen) {
  const uint16_t port = service_.StartServer({.idle = milliseconds(300)});
  TestClient client(port);
  ASSERT_TRUE(client.LogIn().starts_with("+OK"));
  const auto started = steady_clock::now();
  while (client.Send("N") && steady_clock::now() - started < seconds(20)) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_LT(steady_clock::now() - started, seconds(20));
}

TEST_F(Pop3ServerTest, BeforeLoginTimeIsShortHoweverBusyTheClient) {
  const uint16_t port = service_.StartServer({.login = milliseconds(300)});
  TestClient client(port);
  const auto started = steady_clock::now();
  while (client.Ask("CAPA") != "" && steady_clock::now() - started < seconds(20)) client.UpToDot();
  EXPECT_LT(steady_clock::now() - started, seconds(20));
}

TEST_F(Pop3ServerTest, AClientThatNeverReadsIsDropped) {
  service_.Deliver("alice", std::string(16 << 20, 'x') + "\r\n");
  const uint16_t port = service_.StartServer({.write = milliseconds(300)});
  TestClient client(port, 4096);
  ASSERT_TRUE(client.LogIn().starts_with("+OK 1 "));
  client.Send("RETR 1\r\n");
  service_.WaitForNoSessions();
}

TEST_F(Pop3ServerTest, StoppingEndsSessionsBetweenCommands) {
  const uint16_t port = service_.StartServer();
  TestClient client(port);
  ASSERT_TRUE(client.LogIn().starts_with("+OK"));
  service_.StopAll();
  EXPECT_EQ(client.UpToEnd(), "");
  service_.WaitForNoSessions();
}

TEST_F(Pop3ServerTest, ManyClientsAtOnce) {
  service_.Deliver("alice", "x\r\n");
  const uint16_t port = service_.StartServer();
  std::atomic<int> served = 0, in_use = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&, i] {
      for (int round = 0; round < 10; ++round) {
        TestClient client(port);
        const std::string answer = client.LogIn(i % 2 == 0 ? "alice@example.net" : "bob@example.net");
        if (answer.starts_with("+OK")) ++served;
        if (answer.starts_with("-ERR [IN-USE]")) ++in_use;
        client.Ask("QUIT");
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(served + in_use, 160);
  EXPECT_GT(served, 0);
}

// Real clients.
int Shell(const std::string& command) { return system(command.c_str()); }

TEST_F(Pop3ServerTest, CurlFetchesOctetForOctet) {
  if (Shell("command -v curl >/dev/null") != 0) GTEST_SKIP() << "curl is not installed";
  const std::string mail = "Subject: curl\r\n\r\n.dot\r\n..\r\n\xff last\r\n";
  service_.Deliver("alice", mail);
  const uint16_t port = service_.StartServer();
  const std::string out = service_.host.path() + "/curl.out";
  ASSERT_EQ(
      Shell(fmt::format("curl -sS -m 30 -u alice@example.net:right pop3://127.0.0.1:{}/1 -o {}", port, out)),
      0);
  EXPECT_EQ(*ReadFile(out, 1 << 20), mail);
}

TEST_F(Pop3ServerTest, PythonsPoplibListsFetchesAndDeletes) {
  if (Shell("/usr/bin/python3 -c 'import poplib'") != 0) GTEST_SKIP() << "python3 is not installed";
  service_.Deliver("alice", "Subject: one\r\n\r\n.a\r\n");
  service_.Deliver("alice", "Subject: two\r\n\r\nb\r\n");
  const uint16_t port = service_.StartServer();
  const std::string script = service_.host.path() + "/client.py";
  ASSERT_TRUE(ReplaceFile(script,
                          "import poplib, sys\n"
                          "p = poplib.POP3('127.0.0.1', int(sys.argv[1]), timeout=30)\n"
                          "assert 'UIDL' in p.capa() and 'TOP' in p.capa()\n"
                          "p.user('alice@example.net'); p.pass_('right')\n"
                          "assert p.stat() == (2, 39), p.stat()\n"
                          "assert len(p.list()[1]) == 2 and len(p.uidl()[1]) == 2\n"
                          "assert p.retr(1)[1] == [b'Subject: one', b'', b'.a'], p.retr(1)\n"
                          "assert p.top(2, 0)[1] == [b'Subject: two', b'']\n"
                          "p.dele(1); p.rset(); p.dele(2); p.noop(); p.quit()\n",
                          0600)
                  .ok());
  EXPECT_EQ(Shell(fmt::format("/usr/bin/python3 {} {}", script, port)), 0);
  EXPECT_EQ(Stored("alice"), 1u);
}

}  // namespace
}  // namespace prov::pop3
