#include "agents/mail/net/verified_tls.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <utility>

#include "agents/mail/net/testing/test_certificate.h"
#include "agents/mail/net/tls_server.h"
#include "agents/state/test_records.h"

namespace prov::net {
namespace {

// What a handshake came to; without a network.
struct Shaken {
  bool done = false, resumed = false;
};

Shaken Shake(const TlsParty& client_party, const TlsParty& server_party) {
  openssl::Ssl client = *client_party.Begin(), server = *server_party.Begin();
  BIO *near = nullptr, *far = nullptr;
  EXPECT_EQ(BIO_new_bio_pair(&near, 0, &far, 0), 1);
  SSL_set_bio(client.get(), near, near);
  SSL_set_bio(server.get(), far, far);
  for (int round = 0; round < 10; ++round) {
    SSL_do_handshake(client.get());
    SSL_do_handshake(server.get());
  }
  Shaken shaken{SSL_is_init_finished(client.get()) == 1, SSL_session_reused(client.get()) == 1};
  char octet = 0;
  SSL_read(client.get(), &octet, 1);  // takes the tickets, and finds nothing else
  SSL_shutdown(client.get());         // or OpenSSL takes the session for one that was broken off
  ERR_clear_error();
  return shaken;
}

class VerifiedTlsTest : public testing::Test {
 protected:
  // A server with these names, and a client that trusts it and wants that identity.
  bool Trusts(const std::string& names, TlsIdentity identity) {
    const CertificateFiles files = WriteTestCertificate(directory_.path(), "server", names);
    const auto server = *TlsServer::Load({files});
    const auto client = *VerifiedTls::Make(files.chain);
    return Shake(*client->Towards(std::move(identity)), *server).done;
  }

  state::TestDirectory directory_;
};

TEST_F(VerifiedTlsTest, OneNameOfTheIdentityIsEnough) {
  const TlsIdentity identity{{"store1", "192.0.2.1", "mail.example.net"}, "prov://agent/store1"};
  for (const char* names : {"DNS:store1", "IP:192.0.2.1", "DNS:mail.example.net", "URI:prov://agent/store1",
                            "DNS:other,URI:prov://agent/store1"}) {
    EXPECT_TRUE(Trusts(names, identity)) << names;
  }
}

TEST_F(VerifiedTlsTest, AnythingElseIsNot) {
  const TlsIdentity identity{{"store1", "192.0.2.1"}, "prov://agent/store1"};
  for (const char* names :
       {"DNS:store2", "IP:192.0.2.2", "URI:prov://agent/store12", "URI:prov://agent/store", "DNS:192.0.2.1",
        "DNS:prov://agent/store1", "email:store1@example.net", "DNS:store1.example.net"}) {
    EXPECT_FALSE(Trusts(names, identity)) << names;
  }
}

// RFC 9525 section 2: what stands in the subject is a label for people.
TEST_F(VerifiedTlsTest, TheSubjectsNameIsNoName) {
  const CertificateFiles files =
      WriteTestCertificate(directory_.path(), "server", "email:someone@example.net", "store1");
  const auto server = *TlsServer::Load({files});
  const auto client = *VerifiedTls::Make(files.chain);
  EXPECT_FALSE(Shake(*client->Towards({{"store1"}, ""}), *server).done);
}

// RFC 6066 section 3, RFC 8996.
TEST_F(VerifiedTlsTest, AHostIsNamedToTheServerAnAddressIsNotAndOldVersionsAreNotOffered) {
  const auto client = *VerifiedTls::Make(WriteTestCertificate(directory_.path(), "server").chain);
  const auto by_name = client->Towards({{"store1"}, ""}), by_address = client->Towards({{"192.0.2.1"}, ""});
  const openssl::Ssl named = *by_name->Begin(), addressed = *by_address->Begin();
  EXPECT_STREQ(SSL_get_servername(named.get(), TLSEXT_NAMETYPE_host_name), "store1");
  EXPECT_EQ(SSL_get_servername(addressed.get(), TLSEXT_NAMETYPE_host_name), nullptr);
  EXPECT_EQ(SSL_get_min_proto_version(named.get()), TLS1_2_VERSION);
}

TEST_F(VerifiedTlsTest, SessionsAreResumedWithTheSameIdentityAlone) {
  const CertificateFiles files = WriteTestCertificate(directory_.path(), "server", "DNS:store1,DNS:store2");
  const auto server = *TlsServer::Load({files});
  const auto client = *VerifiedTls::Make(files.chain);
  EXPECT_FALSE(Shake(*client->Towards({{"store1"}, ""}), *server).resumed);
  EXPECT_TRUE(Shake(*client->Towards({{"store1"}, ""}), *server).resumed);
  EXPECT_FALSE(Shake(*client->Towards({{"store2"}, ""}), *server).resumed);
  EXPECT_FALSE(Shake(*client->Towards({{"store1"}, "prov://agent/store1"}), *server).resumed);
}

TEST_F(VerifiedTlsTest, AnotherAuthorityIsTakenUpAndItsPredecessorForgotten) {
  const CertificateFiles old = WriteTestCertificate(directory_.path(), "server");
  const auto old_server = *TlsServer::Load({old});
  const std::string ca = directory_.path() + "/ca.pem";
  std::filesystem::copy_file(old.chain, ca);
  const auto client = *VerifiedTls::Make(ca);
  EXPECT_TRUE(Shake(*client->Towards({{"server"}, ""}), *old_server).done);
  EXPECT_FALSE(*client->Refresh());
  const CertificateFiles fresh = WriteTestCertificate(directory_.path(), "server");
  std::filesystem::copy_file(fresh.chain, ca + ".new");
  std::filesystem::rename(ca + ".new", ca);
  EXPECT_TRUE(*client->Refresh());
  const auto fresh_server = *TlsServer::Load({fresh});
  EXPECT_TRUE(Shake(*client->Towards({{"server"}, ""}), *fresh_server).done);
  EXPECT_FALSE(Shake(*client->Towards({{"server"}, ""}), *old_server).done);
}

TEST_F(VerifiedTlsTest, WhatIsNoCertificateIsNoAuthority) {
  EXPECT_TRUE(absl::IsInvalidArgument(VerifiedTls::Make(directory_.path() + "/absent.pem").status()));
}

}  // namespace
}  // namespace prov::net
