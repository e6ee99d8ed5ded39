#include "agents/mail/smtp/server_session.h"

#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <asio/use_awaitable.hpp>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agents/mail/net/listener.h"
#include "agents/mail/smtp/testing/mail_client.h"

namespace prov::smtp {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class YesMan final : public Handler {
 public:
  asio::awaitable<Reply> Connect() override { co_return Reply{}; }
  void Secured(const net::TlsFacts&) override {}
  asio::awaitable<Reply> Hello(std::string, bool) override { co_return Reply{250, "", "mx.example.net"}; }
  asio::awaitable<Reply> Mail(const MailCommand&) override { co_return Reply{250, "2.1.0", "ok"}; }
  asio::awaitable<Reply> Recipient(const RecipientCommand&) override { co_return Reply{250, "2.1.5", "ok"}; }
  asio::awaitable<Reply> Data() override { co_return Reply{354, "", "go on"}; }
  asio::awaitable<void> Content(std::string) override { co_return; }
  asio::awaitable<void> HeaderEnd(const HeaderFacts&) override { co_return; }
  asio::awaitable<std::vector<Reply>> End(const HeaderFacts&, uint64_t) override {
    co_return std::vector<Reply>{{250, "2.0.0", "ok"}};
  }
  void Reset() override {}
};

class ServerSession : public testing::Test {
 protected:
  void Start(SessionTimes times) {
    net::ListenOptions options;
    options.address = "127.0.0.1:0";
    options.protocol = "smtp";
    auto listener =
        net::Listener::Start(loop_.get_executor(), options, [times](std::unique_ptr<net::Connection> client) {
          return ServeSession(std::move(client), {{Protocol::kSmtp, "mx.example.net", 1 << 20}, {}, times},
                              std::make_unique<YesMan>());
        });
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    port_ = listener_->port();
    thread_ = std::thread([this] { loop_.run(); });
  }
  void TearDown() override {
    loop_.stop();
    thread_.join();
  }

  asio::io_context loop_{1};
  std::unique_ptr<net::Listener> listener_;
  std::thread thread_;
  uint16_t port_ = 0;
};

// One octet now and then holds a connection for ever, and a few thousand of them hold all there are.
TEST_F(ServerSession, WhoSpeaksBeforeTheGreetingIsRefused) {
  Start({.greeting_delay = seconds(30)});
  MailClient client(port_);
  client.Send("EHLO client.example\r\n");
  EXPECT_TRUE(client.Line().starts_with("554 5.5.0 "));
  EXPECT_EQ(client.Line(), "");
}

TEST_F(ServerSession, WhoWaitsIsGreetedWhenTheDelayIsOver) {
  Start({.greeting_delay = milliseconds(50)});
  MailClient client(port_);
  EXPECT_TRUE(client.Line().starts_with("220 "));
  EXPECT_TRUE(client.Ask("EHLO client.example").starts_with("250 "));
}

TEST_F(ServerSession, ACommandHasAnEndHoweverSlowlyItsOctetsCome) {
  Start({.idle = seconds(2)});
  MailClient client(port_);
  EXPECT_TRUE(client.Reply().starts_with("220 "));
  EXPECT_TRUE(client.Ask("EHLO client.example").starts_with("250 "));
  std::promise<std::string> said;
  std::thread listening([&] { said.set_value(client.Line()); });
  auto heard = said.get_future();
  const auto deadline = std::chrono::steady_clock::now() + seconds(30);
  while (heard.wait_for(milliseconds(50)) == std::future_status::timeout &&
         std::chrono::steady_clock::now() < deadline) {
    client.Send("N");
  }
  const bool ended = heard.wait_for(seconds(0)) == std::future_status::ready;
  EXPECT_TRUE(ended) << "still waiting for the end of the command";
  if (!ended) client.Send("\r\n");
  listening.join();
  if (ended) EXPECT_TRUE(heard.get().starts_with("421 4.4.2"));
}

// Whoever goes on giving commands stays.
TEST_F(ServerSession, ASessionMayBeLongerThanOneCommand) {
  Start({.idle = seconds(2)});
  MailClient client(port_);
  EXPECT_TRUE(client.Reply().starts_with("220 "));
  EXPECT_TRUE(client.Ask("EHLO client.example").starts_with("250 "));
  std::promise<void> never;
  auto pause = never.get_future();
  for (int i = 0; i < 6; ++i) {
    pause.wait_for(milliseconds(500));
    ASSERT_TRUE(client.Ask("NOOP").starts_with("250 ")) << i;
  }
}

// A message that is refused is read to its end in peace, so that its sender learns of the refusal.
TEST_F(ServerSession, ARefusedMessageMayTakeItsTime) {
  Start({.idle = seconds(2)});
  MailClient client(port_);
  client.Reply();
  client.AskAll({"EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<x@y.example>"});
  EXPECT_TRUE(client.Ask("DATA").starts_with("354 "));
  std::promise<void> never;
  auto pause = never.get_future();
  client.Send("a\nb\r\n");
  for (int i = 0; i < 6; ++i) {
    pause.wait_for(milliseconds(500));
    client.Send("x\r\n");
  }
  EXPECT_TRUE(client.Ask(".").starts_with("554 5.6.0"));
}

}  // namespace
}  // namespace prov::smtp
