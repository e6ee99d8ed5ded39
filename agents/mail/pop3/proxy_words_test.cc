// What back ends may say to the proxy, and what of it reaches the client.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>

#include "agents/mail/pop3/testing/proxy_back_end.h"
#include "agents/mail/pop3/testing/scripted_store.h"

namespace prov::pop3 {
namespace {

using std::chrono::milliseconds;

class ProxyWordsTest : public ProxyBackEndTest {
 protected:
  // The answer to PASS through a proxy whose one back end says this to it.
  std::string WhenTheStoreSays(const std::string& octets) {
    TestServer store([&octets](TestStream& peer) {
      UpToPass(peer);
      peer.Send(octets);
      peer.Line();
    });
    service_.host.SetPool("main", {store.endpoint()});
    return TestClient(service_.StartProxy()).LogIn();
  }
};

// It would send the password round in circles, whoever's proxy it is.
TEST_F(ProxyWordsTest, AnotherProxyIsNotAskedAnything) {
  std::atomic<bool> asked = false;
  ExpectPassedOver([&asked](TestStream& peer) {
    peer.Send("+OK pop.example.org proxy POP3 ready\r\n");
    asked = !peer.Line().empty();
  });
  EXPECT_FALSE(asked);
}

TEST_F(ProxyWordsTest, OneThatTakesNoSessionsIsNotAskedAnything) {
  std::atomic<bool> asked = false;
  ExpectPassedOver([&asked](TestStream& peer) {
    peer.Send("-ERR [SYS/TEMP] busy\r\n");
    asked = !peer.Line().empty();
  });
  EXPECT_FALSE(asked);
}

// What it said in advance would be taken for the answer to the password, which therefore stays here.
TEST_F(ProxyWordsTest, OneThatAnswersThePasswordBeforeItCameIsPassedOver) {
  ExpectPassedOver([](TestStream& peer) {
    UpToUser(peer);
    peer.Send("+OK\r\n+OK come in\r\n");
  });
}

TEST_F(ProxyWordsTest, AnAnswerThatIsNoPop3DecidesNothing) {
  EXPECT_EQ(WhenTheStoreSays("250 welcome\r\n"), kTryLater);
  EXPECT_EQ(WhenTheStoreSays("+OK" + std::string(1100, 'x') + "\r\n"), kTryLater);
}

TEST_F(ProxyWordsTest, WordsOfWelcomeAreSanitised) {
  EXPECT_EQ(WhenTheStoreSays("+OK in\x01\xff\rside\r\n"), "+OK inside\r\n");
}

TEST_F(ProxyWordsTest, AFloodWithoutLinesFillsNoMemory) {
  std::atomic<size_t> sent = 0;
  ExpectPassedOver([&sent](TestStream& peer) {
    const std::string much(65536, 'x');
    while (peer.Send(much)) sent += much.size();
  });
  EXPECT_LT(sent, size_t{16} << 20);  // what the kernel holds, and no more
}

TEST_F(ProxyWordsTest, AStoreWithoutXclientIsAskedForItsCapabilitiesOnce) {
  std::vector<std::string> said;
  TestServer store([&](TestStream& peer) {
    peer.Send("+OK ready\r\n");
    for (std::string line = peer.Line(); !line.empty(); line = peer.Line()) {
      said.push_back(line.substr(0, 4));
      peer.Send(line.starts_with("CAPA") ? "+OK\r\nUSER\r\n.\r\n" : "+OK\r\n");
    }
  });
  service_.host.SetPool("main", {store.endpoint()});
  const uint16_t port = service_.StartProxy();
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(TestClient(port).LogIn().starts_with("+OK"));
  service_.WaitForNoSessions();
  EXPECT_EQ(said, (std::vector<std::string>{"CAPA", "USER", "PASS", "USER", "PASS"}));
}

TEST_F(ProxyWordsTest, OnlySoManyStoresAreTriedForOneLogin) {
  std::vector<std::unique_ptr<TestServer>> dead;
  std::vector<std::string> endpoints;
  for (int i = 0; i < 6; ++i) {
    dead.push_back(std::make_unique<TestServer>([](TestStream&) {}));
    endpoints.push_back(dead.back()->endpoint());
  }
  service_.host.SetPool("main", endpoints);
  EXPECT_EQ(TestClient(service_.StartProxy()).LogIn(), kTryLater);
  int tried = 0;
  for (const auto& one : dead) tried += one->sessions();
  EXPECT_EQ(tried, 3);
}

// The proxy gives the store a minute more than it has by itself; here that leaves a moment.
TEST_F(ProxyWordsTest, WhereBothAreSilentTheProxyEndsTheSession) {
  TestServer store([](TestStream& peer) {
    UpToPass(peer);
    peer.Send("+OK in\r\n");
    peer.Line();
  });
  service_.host.SetPool("main", {store.endpoint()});
  TestClient client(service_.StartProxy({.idle = milliseconds(200) - std::chrono::minutes(1)}));
  ASSERT_EQ(client.LogIn(), "+OK in\r\n");
  EXPECT_EQ(client.UpToEnd(), "");
}

}  // namespace
}  // namespace prov::pop3
