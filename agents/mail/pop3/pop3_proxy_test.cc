#include "agents/mail/pop3/pop3_proxy.h"

#include <gtest/gtest.h>

#include "agents/mail/pop3/testing/scripted_store.h"
#include "agents/mail/pop3/testing/test_service.h"

namespace prov::pop3 {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr char kTryLater[] = "-ERR [SYS/TEMP] Try again later\r\n";
constexpr char kNobodyListens[] = "127.0.0.1:1";

std::string Local(uint16_t port) { return fmt::format("127.0.0.1:{}", port); }

class Pop3ProxyTest : public testing::Test {
 protected:
  Pop3ProxyTest() {
    service_.host.SetRoute("alice@example.net", "main");
    service_.host.SetRoute("bob@example.net", "main");
  }

  // A proxy whose pool is these endpoints.
  uint16_t ProxyTo(const std::vector<std::string>& endpoints, SessionTimes times = {}) {
    service_.host.SetPool("main", endpoints);
    return service_.StartProxy(times);
  }

  TestService service_;
};

TEST_F(Pop3ProxyTest, TheWholeSessionInOneSegment) {
  std::string mail = "Subject: long\r\n\r\n";
  for (int i = 0; i < 20'000; ++i) mail += fmt::format("line {}\r\n", i);
  service_.Deliver("alice", mail);
  const uint16_t port = ProxyTo({Local(service_.StartServer()), Local(service_.StartServer())});
  TestClient client(port);
  client.Send("CAPA\r\nUSER alice@example.net\r\nPASS right\r\nSTAT\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n");
  const std::string said = client.UpToEnd();
  EXPECT_TRUE(said.ends_with(
      fmt::format("+OK 1 {0}\r\n+OK {0} octets\r\n{1}.\r\n+OK Deleted\r\n+OK Bye\r\n", mail.size(), mail)));
}

TEST_F(Pop3ProxyTest, WrongAndUnknownGetTheSameWords) {
  const uint16_t port = ProxyTo({Local(service_.StartServer())});
  TestClient unknown_before(port), wrong(port), unknown(port);
  // Before any route is known to it, the proxy answers by itself.
  const auto started = steady_clock::now();
  const std::string said = unknown_before.LogIn("nobody@example.net");
  EXPECT_GE(steady_clock::now() - started, seconds(2));
  EXPECT_EQ(said, "-ERR [AUTH] Login failed\r\n");
  EXPECT_EQ(wrong.LogIn("alice@example.net", "wrong"), said);
  EXPECT_EQ(unknown.LogIn("nobody@example.net"), said);
}

TEST_F(Pop3ProxyTest, InUseIsPassedOn) {
  const uint16_t store = service_.StartServer();
  const uint16_t port = ProxyTo({Local(store)});
  TestClient direct(store), proxied(port);
  ASSERT_TRUE(direct.LogIn().starts_with("+OK"));
  EXPECT_TRUE(proxied.LogIn().starts_with("-ERR [IN-USE] "));
  direct.Ask("QUIT");
  EXPECT_TRUE(proxied.LogIn().starts_with("+OK"));
}

TEST_F(Pop3ProxyTest, AStoreThatIsDownIsPassedOver) {
  const std::string store = Local(service_.StartServer());
  const uint16_t port = ProxyTo({kNobodyListens, store, kNobodyListens});
  for (const char* login : {"alice@example.net", "bob@example.net"}) {
    TestClient client(port);
    EXPECT_TRUE(client.LogIn(login).starts_with("+OK")) << login;
    client.Ask("QUIT");
  }
}

TEST_F(Pop3ProxyTest, NoStoreAtAllIsTemporary) {
  const uint16_t port = ProxyTo({kNobodyListens});
  TestClient client(port);
  EXPECT_EQ(client.LogIn(), kTryLater);
}

TEST_F(Pop3ProxyTest, APoolNobodyToldOfIsTemporary) {
  const uint16_t port = service_.StartProxy();
  TestClient client(port);
  EXPECT_EQ(client.LogIn(), kTryLater);
}

TEST_F(Pop3ProxyTest, OctetsBehindTheStoresReplyFollowIt) {
  std::string user, pass, rest;
  TestServer store([&](TestStream& peer) {
    user = UpToUser(peer);
    peer.Send("+OK\r\n");
    pass = peer.Line();
    peer.Send("+OK 0 messages\r\nbehind it 1\r\nbehind it 2\r\n");
    rest = peer.Line();
    peer.Send("+OK last\r\n");
  });
  const uint16_t port = ProxyTo({store.endpoint()});
  TestClient client(port);
  client.Send("USER Alice@example.net\r\nPASS a b \xc3\xa9\r\nQUIT\r\n");
  EXPECT_EQ(client.UpToEnd(),
            "+OK Send the password\r\n+OK 0 messages\r\nbehind it 1\r\nbehind it 2\r\n+OK last\r\n");
  EXPECT_EQ(user, "USER Alice@example.net\r\n");
  EXPECT_EQ(pass, "PASS a b \xc3\xa9\r\n");
  EXPECT_EQ(rest, "QUIT\r\n");
}

TEST_F(Pop3ProxyTest, AStoresWordsAreSanitised) {
  TestServer store([](TestStream& peer) {
    UpToPass(peer);
    peer.Send("-ERR [AUTH] no\x01\xff\rway\r\n+OK not for you\r\n");
  });
  const uint16_t port = ProxyTo({store.endpoint()});
  TestClient client(port);
  EXPECT_EQ(client.LogIn(), "-ERR [AUTH] noway\r\n");
  EXPECT_EQ(client.Ask("QUIT"), "+OK Bye\r\n");
}

TEST_F(Pop3ProxyTest, WhenTheStoreDiesTheClientIsTold) {
  TestServer store([](TestStream& peer) {
    UpToPass(peer);
    peer.Send("+OK in\r\n");
    peer.Line();
    peer.Send("+OK part of a mess");
  });
  const uint16_t port = ProxyTo({store.endpoint()});
  TestClient client(port);
  ASSERT_EQ(client.LogIn(), "+OK in\r\n");
  client.Send("RETR 1\r\n");
  EXPECT_EQ(client.UpToEnd(), "+OK part of a mess");
}

TEST_F(Pop3ProxyTest, AClientThatGoesEndsTheStoresSession) {
  service_.Deliver("alice", "x\r\n");
  const uint16_t store = service_.StartServer();
  const uint16_t port = ProxyTo({Local(store)});
  {
    TestClient client(port);
    ASSERT_TRUE(client.LogIn().starts_with("+OK 1 "));
    client.Ask("DELE 1");
  }
  service_.WaitForNoSessions();
  TestClient again(port);
  EXPECT_TRUE(again.LogIn().starts_with("+OK 1 "));
}

TEST_F(Pop3ProxyTest, BeforeLoginTimeIsShort) {
  const uint16_t port = ProxyTo({Local(service_.StartServer())}, {.login = milliseconds(200)});
  TestClient client(port);
  EXPECT_EQ(client.UpToEnd(), "");
}

}  // namespace
}  // namespace prov::pop3
