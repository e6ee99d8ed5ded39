#include <gtest/gtest.h>
#include <signal.h>

#include <asio/io_context.hpp>
#include <asio/use_awaitable.hpp>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "agents/mail/net/connector.h"
#include "agents/mail/net/listener.h"
#include "agents/mail/net/spawn.h"
#include "agents/mail/net/testing/test_certificate.h"
#include "agents/mail/net/tls_client.h"
#include "agents/mail/net/tls_server.h"
#include "agents/state/test_records.h"

namespace prov::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kLong = seconds(20);
constexpr size_t kMuch = 300'000;

void RunUntilDone(asio::io_context& loop, asio::awaitable<void> task) {
  bool done = false;
  Spawn(loop.get_executor(), "test", std::move(task), [&] {
    done = true;
    loop.stop();
  });
  loop.restart();
  loop.run();
  ASSERT_TRUE(done);
}

// Whose certificate the server shows to a client that asks for `name`; without a network.
std::string ShownTo(const TlsParty& server, const std::string& name) {
  const auto client_tls = *OpportunisticTls::Make();
  openssl::Ssl client = *client_tls->Towards(name)->Begin(), accepted = *server.Begin();
  BIO *near = nullptr, *far = nullptr;
  EXPECT_EQ(BIO_new_bio_pair(&near, 0, &far, 0), 1);
  SSL_set_bio(client.get(), near, near);
  SSL_set_bio(accepted.get(), far, far);
  for (int round = 0; round < 10; ++round) {
    SSL_do_handshake(client.get());
    SSL_do_handshake(accepted.get());
  }
  const openssl::Certificate shown(SSL_get1_peer_certificate(client.get()));
  if (!shown) return "none";
  for (const char* host : {"mx.example.net", "pop.example.net"}) {
    if (X509_check_host(shown.get(), host, 0, 0, nullptr) == 1) return host;
  }
  return "another";
}

class Tls : public testing::Test {
 protected:
  Tls() { signal(SIGPIPE, SIG_IGN); }

  state::TestDirectory owner_;
  const std::string directory_ = owner_.path();
  const CertificateFiles mx_ = WriteTestCertificate(directory_, "mx.example.net");
  const CertificateFiles pop_ = WriteTestCertificate(directory_, "pop.example.net");

  // Serves each connection with `serve`; its address.
  std::string Listen(Listener::Serve serve) {
    ListenOptions options;
    options.address = "127.0.0.1:0";
    options.protocol = "test";
    listener_ = *Listener::Start(loop_.get_executor(), options, std::move(serve));
    return "127.0.0.1:" + std::to_string(listener_->port());
  }

  static asio::awaitable<void> EchoThroughTls(std::unique_ptr<Connection> connection, const TlsParty& tls) {
    const absl::Status shaken = co_await connection->StartTls(tls, kLong);
    EXPECT_TRUE(shaken.ok()) << shaken;
    for (;;) {
      const absl::StatusOr<std::string_view> got = co_await connection->ReadIdle(kLong);
      if (!got.ok()) co_return;
      const std::string copy(*got);
      const absl::Status written = co_await connection->Write(copy, kLong);
      if (!written.ok()) co_return;
    }
  }

  asio::io_context loop_;
  std::unique_ptr<Listener> listener_;
};

TEST_F(Tls, CarriesOctetsBothWays) {
  const auto server = *TlsServer::Load({mx_});
  const std::string address = Listen([&server](std::unique_ptr<Connection> connection) {
    return EchoThroughTls(std::move(connection), *server);
  });
  RunUntilDone(loop_, [](std::string address) -> asio::awaitable<void> {
    const auto client_tls = *OpportunisticTls::Make();
    const auto party = client_tls->Towards("127.0.0.1");
    auto connection = co_await Connect(address, kLong);
    EXPECT_FALSE((*connection)->tls());
    const absl::Status shaken = co_await (*connection)->StartTls(*party, kLong);
    EXPECT_TRUE(shaken.ok()) << shaken;
    EXPECT_EQ((*connection)->tls()->version, "TLSv1.3");
    const std::string sent(kMuch, 'x');
    const absl::Status written = co_await (*connection)->Write(sent, kLong);
    EXPECT_TRUE(written.ok()) << written;
    for (size_t back = 0; back < sent.size();) {
      const auto got = co_await (*connection)->Read(kLong);
      EXPECT_TRUE(got.ok()) << got.status();
      if (!got.ok()) co_return;
      back += got->size();
    }
    const auto silence = co_await (*connection)->Read(milliseconds(20));
    EXPECT_TRUE(absl::IsDeadlineExceeded(silence.status())) << silence.status();
    const absl::Status again = co_await (*connection)->Write("again", kLong);
    const auto got = co_await (*connection)->Read(kLong);
    EXPECT_EQ(got.value_or(""), "again");
  }(address));
}

TEST_F(Tls, AClientThatStallsInTheHandshakeIsGivenUp) {
  const auto server = *TlsServer::Load({mx_});
  absl::Status outcome;
  bool ended = false;
  const std::string address = Listen([&](std::unique_ptr<Connection> connection) -> asio::awaitable<void> {
    outcome = co_await connection->StartTls(*server, milliseconds(50));
    ended = true;
  });
  RunUntilDone(loop_, [](std::string address) -> asio::awaitable<void> {
    auto connection = co_await Connect(address, kLong);
    // The beginning of a ClientHello, and then nothing.
    const absl::Status written = co_await (*connection)->Write(std::string_view("\x16\x03\x01", 3), kLong);
    const auto got = co_await (*connection)->Read(kLong);
    EXPECT_FALSE(got.ok());
  }(address));
  EXPECT_TRUE(ended);
  EXPECT_TRUE(absl::IsDeadlineExceeded(outcome)) << outcome;
}

TEST_F(Tls, WhatIsNoTlsIsToldAsThat) {
  const auto server = *TlsServer::Load({mx_});
  absl::Status outcome;
  const std::string address = Listen([&](std::unique_ptr<Connection> connection) -> asio::awaitable<void> {
    outcome = co_await connection->StartTls(*server, kLong);
  });
  RunUntilDone(loop_, [](std::string address) -> asio::awaitable<void> {
    auto connection = co_await Connect(address, kLong);
    const absl::Status written = co_await (*connection)->Write("NOOP\r\nQUIT\r\n", kLong);
    while (true) {
      const auto got = co_await (*connection)->Read(kLong);
      if (!got.ok()) co_return;
    }
  }(address));
  EXPECT_TRUE(absl::IsUnavailable(outcome)) << outcome;
}

TEST_F(Tls, TheNameTheClientAsksForChoosesTheCertificate) {
  const auto server = *TlsServer::Load({mx_, pop_});
  EXPECT_EQ(ShownTo(*server, "pop.example.net"), "pop.example.net");
  EXPECT_EQ(ShownTo(*server, "mx.example.net"), "mx.example.net");
  EXPECT_EQ(ShownTo(*server, "other.example.org"), "mx.example.net") << "the first is for all others";
  EXPECT_EQ(ShownTo(*server, "192.0.2.1"), "mx.example.net");
}

TEST_F(Tls, ANewCertificateIsTakenAndABrokenOneIsNot) {
  const auto server = *TlsServer::Load({mx_});
  EXPECT_FALSE(*server->Refresh()) << "nothing changed";
  // Renewed under another name, so that it can be told apart.
  const CertificateFiles renewed = WriteTestCertificate(directory_, "pop.example.net");
  ASSERT_EQ(rename(renewed.chain.c_str(), mx_.chain.c_str()), 0);
  EXPECT_TRUE(*server->Refresh());
  EXPECT_EQ(ShownTo(*server, "any"), "pop.example.net");
  std::ofstream(mx_.chain) << "-----BEGIN CERTIFICATE-----\nbroken\n";
  const auto broken = server->Refresh();
  EXPECT_TRUE(absl::IsInvalidArgument(broken.status())) << broken.status();
  EXPECT_NE(broken.status().message().find(mx_.chain), std::string::npos);
  EXPECT_EQ(ShownTo(*server, "any"), "pop.example.net") << "what was good before goes on";
}

TEST_F(Tls, AKeyOfAnotherCertificateIsRefused) {
  const auto server = TlsServer::Load({{mx_.chain, pop_.key}});
  EXPECT_TRUE(absl::IsInvalidArgument(server.status())) << server.status();
}

}  // namespace
}  // namespace prov::net
