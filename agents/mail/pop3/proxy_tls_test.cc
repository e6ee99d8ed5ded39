// Whom the proxy takes for a store of the pool.
#include <gtest/gtest.h>

#include <filesystem>

#include "agents/mail/net/testing/test_certificate.h"
#include "agents/mail/net/tls_server.h"
#include "agents/mail/net/verified_tls.h"
#include "agents/mail/pop3/testing/proxy_back_end.h"

namespace prov::pop3 {
namespace {

// Stores with certificates, and a proxy that looks at them.
class ProxyTlsTest : public ProxyBackEndTest {
 protected:
  net::CertificateFiles Certificate(const std::string& name, const std::string& names = "") {
    return net::WriteTestCertificate(service_.host.path(), name, names);
  }

  // A store that shows the certificate and the proxy that trusts `ca`; what the login comes to.
  std::string LogInWith(const net::CertificateFiles& shown, const std::string& ca,
                        net::TlsUse offers = net::TlsUse::kOnDemand, BackEndTls wanted = BackEndTls::kStls) {
    servers_.push_back(*net::TlsServer::Load({shown}));
    verify_.push_back(*net::VerifiedTls::Make(ca));
    net::SessionTls tls;
    if (offers != net::TlsUse::kNone) tls = {offers, servers_.back().get()};
    service_.host.SetPool("main", {Local(service_.StartServer({}, tls))});
    TestClient client(service_.StartProxy({}, wanted, verify_.back().get()));
    return client.LogIn();
  }

  std::vector<std::unique_ptr<net::TlsServer>> servers_;
  std::vector<std::unique_ptr<net::VerifiedTls>> verify_;
};

TEST_F(ProxyTlsTest, AStoreWithTheHostsCertificateIsTrusted) {
  const net::CertificateFiles good = Certificate("store1");
  EXPECT_TRUE(LogInWith(good, good.chain).starts_with("+OK 0 "));
}

// By what provd enrolled, and by the address that it serves under.
TEST_F(ProxyTlsTest, AStoreIsKnownByAnyOfItsNames) {
  for (const char* names : {"URI:prov://agent/store1", "IP:127.0.0.1"}) {
    const net::CertificateFiles good = Certificate("good", names);
    EXPECT_TRUE(LogInWith(good, good.chain).starts_with("+OK 0 ")) << names;
    service_.WaitForNoSessions();
  }
}

// RFC 8314.
TEST_F(ProxyTlsTest, TlsFromTheFirstOctetIsVerifiedAsWell) {
  const auto log_in = [this](const std::string& name) {
    const net::CertificateFiles shown = Certificate(name);
    return LogInWith(shown, shown.chain, net::TlsUse::kAlways, BackEndTls::kAlways);
  };
  EXPECT_TRUE(log_in("store1").starts_with("+OK 0 "));
  service_.WaitForNoSessions();
  EXPECT_EQ(log_in("store2"), kTryLater);
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
  EXPECT_EQ(LogInWith(good, good.chain, net::TlsUse::kNone), kTryLater);
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
