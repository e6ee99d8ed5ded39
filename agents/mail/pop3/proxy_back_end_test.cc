// Back ends of the proxy that die, lie, or are not what they should be.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "agents/mail/net/testing/test_certificate.h"
#include "agents/mail/net/tls_server.h"
#include "agents/mail/net/verified_tls.h"
#include "agents/mail/pop3/testing/scripted_store.h"
#include "agents/mail/pop3/testing/test_service.h"

namespace prov::pop3 {
namespace {

using std::chrono::milliseconds;

constexpr char kTryLater[] = "-ERR [SYS/TEMP] Try again later\r\n";
constexpr char kLogin[] = "alice@example.net";

std::string Local(uint16_t port) { return fmt::format("127.0.0.1:{}", port); }

// The two in the order in which a pool must name them for `first` to be the login's own.
std::vector<std::string> TriedFirst(const std::string& first, const std::string& second) {
  v1::PoolMembers pool;
  for (const char* host : {"store1", "store2"}) {
    v1::PoolMembers::Member* member = pool.add_members();
    member->set_host(host);
    (*member->mutable_endpoints())["pop3"] = host;
  }
  return OrderStores(pool, kLogin, "pop3").front().host == "store1" ? std::vector{first, second}
                                                                    : std::vector{second, first};
}

class ProxyBackEndTest : public testing::Test {
 protected:
  ProxyBackEndTest() {
    service_.host.SetMailbox(kLogin, 1);
    service_.host.SetRoute(kLogin, "main");
  }

  // A login through a proxy that meets this back end first, and a good one then.
  void ExpectPassedOver(const std::function<void(TestStream&)>& script, SessionTimes times = {}) {
    TestServer bad([&](TestStream& peer) {
      script(peer);
      for (std::string line = peer.Line(); !line.empty(); line = peer.Line()) {
        if (line.starts_with("PASS")) password_seen_ = true;
      }
    });
    service_.host.SetPool("main", TriedFirst(bad.endpoint(), Local(service_.StartServer())));
    TestClient client(service_.StartProxy(times));
    EXPECT_TRUE(client.LogIn().starts_with("+OK"));
    EXPECT_EQ(client.Ask("QUIT"), "+OK Bye\r\n");
    EXPECT_EQ(bad.sessions(), 1);
    EXPECT_FALSE(password_seen_);
  }

  TestService service_;
  std::atomic<bool> password_seen_ = false;
};

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

// Stores with certificates, and a proxy that looks at them.
class ProxyTlsTest : public ProxyBackEndTest {
 protected:
  net::CertificateFiles Certificate(const std::string& name) {
    return net::WriteTestCertificate(service_.host.path(), name);
  }

  // A store that shows the certificate and the proxy that trusts `ca`; what the login comes to.
  std::string LogInWith(const net::CertificateFiles& shown, const std::string& ca, bool offers_tls = true) {
    servers_.push_back(*net::TlsServer::Load({shown}));
    verify_.push_back(*net::VerifiedTls::Make(ca));
    net::SessionTls tls;
    if (offers_tls) tls = {net::TlsUse::kOnDemand, servers_.back().get()};
    service_.host.SetPool("main", {Local(service_.StartServer({}, tls))});
    TestClient client(service_.StartProxy({}, BackEndTls::kStls, verify_.back().get()));
    return client.LogIn();
  }

  std::vector<std::unique_ptr<net::TlsServer>> servers_;
  std::vector<std::unique_ptr<net::VerifiedTls>> verify_;
};

TEST_F(ProxyTlsTest, AStoreWithTheHostsCertificateIsTrusted) {
  const net::CertificateFiles good = Certificate("store1");
  EXPECT_TRUE(LogInWith(good, good.chain).starts_with("+OK 0 "));
}

TEST_F(ProxyTlsTest, AStoreThatShowsAnothersCertificateIsNotTrusted) {
  const net::CertificateFiles anothers = Certificate("store2");
  EXPECT_EQ(LogInWith(anothers, anothers.chain), kTryLater);
}

TEST_F(ProxyTlsTest, AStoreOfAnUnknownAuthorityIsNotTrusted) {
  const net::CertificateFiles good = Certificate("store1");
  std::filesystem::rename(good.chain, good.chain + ".shown");
  const net::CertificateFiles trusted = Certificate("store1");
  EXPECT_EQ(LogInWith({good.chain + ".shown", good.chain + ".shown"}, trusted.chain), kTryLater);
}

TEST_F(ProxyTlsTest, AStoreWithoutTlsIsNotTrusted) {
  const net::CertificateFiles good = Certificate("store1");
  EXPECT_EQ(LogInWith(good, good.chain, false), kTryLater);
}

TEST_F(ProxyTlsTest, NothingIsBelievedThatWasSaidBeforeTls) {
  const net::CertificateFiles good = Certificate("store1");
  const auto verify = *net::VerifiedTls::Make(good.chain);
  TestServer store([](TestStream& peer) {
    peer.Send("+OK ready\r\n");
    peer.Line();
    peer.Send("+OK begin\r\n+OK\r\n+OK in\r\n");
    peer.Line();
  });
  service_.host.SetPool("main", {store.endpoint()});
  TestClient client(service_.StartProxy({}, BackEndTls::kStls, verify.get()));
  EXPECT_EQ(client.LogIn(), kTryLater);
}

}  // namespace
}  // namespace prov::pop3
