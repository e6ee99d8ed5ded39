// Back ends of the proxy that die, lie, or are not what they should be.
#include "agents/mail/pop3/testing/proxy_back_end.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "agents/mail/pop3/testing/scripted_store.h"

namespace prov::pop3 {
namespace {

using std::chrono::milliseconds;

TEST_F(ProxyBackEndTest, DeadBeforeItsGreetingIsFollowedByAnother) {
  ExpectPassedOver([](TestStream& peer) { peer.Close(); });
}

TEST_F(ProxyBackEndTest, DeadAfterItsGreetingIsFollowedByAnother) {
  ExpectPassedOver([](TestStream& peer) {
    peer.Send("+OK ready\r\n");
    peer.Close();
  });
}

TEST_F(ProxyBackEndTest, DeadInTheMiddleOfCapaIsFollowedByAnother) {
  ExpectPassedOver([](TestStream& peer) {
    peer.Send("+OK ready\r\n");
    peer.Line();
    peer.Send("+OK\r\nUSER\r\n");
    peer.Close();
  });
}

TEST_F(ProxyBackEndTest, DeadAtXclientIsFollowedByAnother) {
  ExpectPassedOver([](TestStream& peer) {
    peer.Send("+OK [XCLIENT] ready\r\n");
    peer.Line();
    peer.Close();
  });
}

TEST_F(ProxyBackEndTest, DeadAfterUserIsFollowedByAnother) {
  ExpectPassedOver([](TestStream& peer) {
    UpToUser(peer);
    peer.Close();
  });
}

TEST_F(ProxyBackEndTest, DeadBeforeThePasswordsReplyIsNotFollowedByAnother) {
  const auto dies = [](TestStream& peer) { UpToPass(peer); };
  TestServer one(dies), two(dies);
  service_.host.SetPool("main", {one.endpoint(), two.endpoint()});
  TestClient client(service_.StartProxy());
  EXPECT_EQ(client.LogIn(), kTryLater);
  EXPECT_EQ(one.sessions() + two.sessions(), 1);
  // The next attempt is the client's own, and goes to the other one first.
  EXPECT_EQ(client.LogIn(), kTryLater);
  EXPECT_EQ(one.sessions(), 1);
  EXPECT_EQ(two.sessions(), 1);
}

TEST_F(ProxyBackEndTest, WhatIsNoPop3IsPassedOver) {
  ExpectPassedOver([](TestStream& peer) { peer.Send("HTTP/1.1 400 Bad Request\r\n\r\n"); });
}

TEST_F(ProxyBackEndTest, BusyIsPassedOver) {
  ExpectPassedOver([](TestStream& peer) { peer.Send("-ERR [SYS/TEMP] busy\r\n"); });
}

TEST_F(ProxyBackEndTest, AFloodWithoutLinesIsPassedOver) {
  ExpectPassedOver([](TestStream& peer) {
    while (peer.Send(std::string(1000, 'x'))) {
    }
  });
}

TEST_F(ProxyBackEndTest, AFloodOfCapabilitiesIsPassedOver) {
  ExpectPassedOver([](TestStream& peer) {
    peer.Send("+OK ready\r\n");
    peer.Line();
    peer.Send("+OK\r\n");
    while (peer.Send("XCLIENT\r\n")) {
    }
  });
}

TEST_F(ProxyBackEndTest, OneThatNeverGreetsIsPassedOver) {
  ExpectPassedOver([](TestStream&) {}, {.back_end_answer = milliseconds(200)});
}

TEST_F(ProxyBackEndTest, OneThatTakesForeverForALineIsPassedOver) {
  ExpectPassedOver(
      [](TestStream& peer) {
        while (peer.Send("+")) std::this_thread::sleep_for(milliseconds(20));
      },
      {.back_end_answer = milliseconds(300)});
}

TEST_F(ProxyBackEndTest, OneThatAnswersBeforeItIsAskedIsPassedOver) {
  ExpectPassedOver([](TestStream& peer) { peer.Send("+OK ready\r\n+OK\r\n+OK come in\r\n"); });
}

TEST_F(ProxyBackEndTest, AnOctetAtATimeIsFine) {
  TestServer store([](TestStream& peer) {
    UpToPass(peer);
    for (const char octet : std::string_view("+OK slowly\r\n")) peer.Send({&octet, 1});
    peer.Line();
  });
  service_.host.SetPool("main", {store.endpoint()});
  TestClient client(service_.StartProxy());
  EXPECT_EQ(client.LogIn(), "+OK slowly\r\n");
}

TEST_F(ProxyBackEndTest, ItsCodesReachTheClient) {
  for (const char* words :
       {"[AUTH] no", "[SYS/TEMP] later", "[SYS/PERM] never", "[IN-USE] busy", "[LOGIN-DELAY] wait"}) {
    TestServer store([words](TestStream& peer) {
      UpToPass(peer);
      peer.Send(fmt::format("-ERR {}\r\n", words));
      peer.Line();
    });
    service_.host.SetPool("main", {store.endpoint()});
    TestClient client(service_.StartProxy());
    EXPECT_EQ(client.LogIn(), fmt::format("-ERR {}\r\n", words));
    EXPECT_EQ(client.Ask("QUIT"), "+OK Bye\r\n");
    EXPECT_EQ(store.sessions(), 1);
  }
}

TEST_F(ProxyBackEndTest, ARefusalIsHeldBackByTheStoreAlone) {
  service_.host.SetPool("main", {Local(service_.StartServer())});
  TestClient client(service_.StartProxy());
  EXPECT_EQ(client.LogIn(kLogin, "wrong"), "-ERR [AUTH] Login failed\r\n");
  // The proxy has counted nothing: its own delay is the first.
  EXPECT_EQ(service_.delay().AfterFailure("127.0.0.1"), std::chrono::seconds(2));
}

TEST_F(ProxyBackEndTest, AProxyThatIsItsOwnBackEndSaysSo) {
  const uint16_t itself = service_.StartProxy(), another = service_.StartProxy();
  for (const std::vector<std::string>& back_ends :
       {std::vector{Local(itself)}, std::vector{Local(another), Local(itself)}}) {
    service_.host.SetPool("main", back_ends);
    TestClient client(itself);
    EXPECT_EQ(client.LogIn(), kTryLater);
    EXPECT_EQ(client.Ask("QUIT"), "+OK Bye\r\n");
    service_.WaitForNoSessions();
  }
}

TEST_F(ProxyBackEndTest, TheStoreIsToldWhoTheClientIs) {
  std::vector<std::string> said;
  TestServer store([&](TestStream& peer) {
    peer.Send("+OK [XCLIENT] ready\r\n");
    for (const char* answer : {"+OK Updated\r\n", "+OK\r\n", "+OK in\r\n"}) {
      said.push_back(peer.Line());
      peer.Send(answer);
    }
    peer.Line();
  });
  service_.host.SetPool("main", {store.endpoint()});
  TestClient client(service_.StartProxy());
  ASSERT_EQ(client.LogIn(), "+OK in\r\n");
  const std::string prefix = fmt::format("XCLIENT ADDR=127.0.0.1 PORT={} SESSION=", client.port());
  ASSERT_TRUE(said[0].starts_with(prefix)) << said[0];
  const std::string session = said[0].substr(prefix.size());
  EXPECT_EQ(session.size(), 16 + 2u) << session;
  EXPECT_EQ(session.find_first_not_of("0123456789abcdef"), 16u) << session;
  EXPECT_EQ(said[1], "USER alice@example.net\r\n");
}

TEST_F(ProxyBackEndTest, CapaIsAskedOnceAndARefusedXclientIsNoFailure) {
  std::vector<std::string> said;
  TestServer store([&](TestStream& peer) {
    peer.Send("+OK ready\r\n");
    for (std::string line = peer.Line(); !line.empty(); line = peer.Line()) {
      said.push_back(line.substr(0, 4));
      peer.Send(line.starts_with("CAPA")   ? "+OK\r\nUSER\r\nxclient\r\n.\r\n"
                : line.starts_with("XCLI") ? "-ERR you are not trusted\r\n"
                                           : "+OK\r\n");
    }
  });
  service_.host.SetPool("main", {store.endpoint()});
  const uint16_t port = service_.StartProxy();
  for (int i = 0; i < 2; ++i) {
    TestClient client(port);
    EXPECT_TRUE(client.LogIn().starts_with("+OK"));
  }
  service_.WaitForNoSessions();
  EXPECT_EQ(said, (std::vector<std::string>{"CAPA", "XCLI", "USER", "PASS", "USER", "PASS"}));
}

// Takes a login all at once, if it comes so, and answers it with these.
void AnswerAtOnce(TestStream& peer, const std::string& answers, std::vector<std::string>& said) {
  peer.Send("+OK ready\r\n");
  peer.Line();  // CAPA
  peer.Send("+OK\r\nXCLIENT\r\nPIPELINING\r\n.\r\n");
  for (int i = 0; i < 3; ++i) said.push_back(peer.Line().substr(0, 4));
  peer.Send(answers);
}

TEST_F(ProxyBackEndTest, AStoreThatTakesThemHasAllCommandsBeforeItAnswers) {
  std::vector<std::string> said;
  TestServer store([&](TestStream& peer) {
    AnswerAtOnce(peer, "+OK Updated\r\n+OK\r\n+OK in\r\n", said);
    peer.Send("+OK of STAT\r\n");
    peer.Line();
  });
  service_.host.SetPool("main", {store.endpoint()});
  TestClient client(service_.StartProxy());
  ASSERT_EQ(client.LogIn(), "+OK in\r\n");
  EXPECT_EQ(said, (std::vector<std::string>{"XCLI", "USER", "PASS"}));
  EXPECT_EQ(client.Line(), "+OK of STAT\r\n");
}

TEST_F(ProxyBackEndTest, OfRepliesThatCameTogetherTheFirstRefusalCounts) {
  std::vector<std::string> said;
  TestServer store([&](TestStream& peer) {
    AnswerAtOnce(peer, "-ERR who are you?\r\n-ERR not him\r\n-ERR no USER\r\n", said);
  });
  service_.host.SetPool("main", {store.endpoint()});
  TestClient client(service_.StartProxy());
  EXPECT_EQ(client.LogIn(), "-ERR not him\r\n");
}

TEST_F(ProxyBackEndTest, WhoHasBeenToldAllAtOnceIsNotFollowedByAnother) {
  std::vector<std::string> said_to_one, said_to_two;
  TestServer one([&](TestStream& peer) { AnswerAtOnce(peer, "+OK Updated\r\n", said_to_one); });
  TestServer two([&](TestStream& peer) { AnswerAtOnce(peer, "+OK Updated\r\n", said_to_two); });
  service_.host.SetPool("main", {one.endpoint(), two.endpoint()});
  TestClient client(service_.StartProxy());
  EXPECT_EQ(client.LogIn(), kTryLater);
  EXPECT_EQ(one.sessions() + two.sessions(), 1);
}

TEST_F(ProxyBackEndTest, AClientThatNeverReadsIsCutOffAndFillsNoMemory) {
  std::atomic<size_t> sent = 0;
  TestServer store([&](TestStream& peer) {
    UpToPass(peer);
    peer.Send("+OK in\r\n");
    const std::string much(65536, 'x');
    while (peer.Send(much)) sent += much.size();
  });
  service_.host.SetPool("main", {store.endpoint()});
  TestClient client(service_.StartProxy({.write = milliseconds(300)}), 4096);
  ASSERT_EQ(client.LogIn(), "+OK in\r\n");
  service_.WaitForNoSessions();
  EXPECT_LT(sent, size_t{64} << 20);  // what the kernel holds on both ways, and no more
}

}  // namespace
}  // namespace prov::pop3
