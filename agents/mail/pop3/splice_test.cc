// What passes between two connections, and when both end.
#include "agents/mail/pop3/splice.h"

#include <gtest/gtest.h>

#include <asio/error_code.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <string>

#include "agents/mail/net/spawn.h"

namespace prov::pop3 {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// Its peer says `octets` so many times, with a pause before each, and then ends or is silent.
class ScriptedPeer final : public net::Connection {
 public:
  ScriptedPeer(asio::io_context& loop, int times, milliseconds pause, bool ends)
      : timer_(loop), times_(times), pause_(pause), ends_(ends) {}

  asio::awaitable<absl::StatusOr<std::string_view>> Read(milliseconds) override {
    const bool silent = times_ == 0 && !ends_;
    timer_.expires_after(silent ? std::chrono::hours(1) : pause_);
    asio::error_code ignored;  // cancelled by Close
    if (!closed_) co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (closed_) co_return absl::UnavailableError("closed");
    if (times_ == 0) co_return absl::OutOfRangeError("the peer closed");
    --times_;
    co_return "octets";
  }
  asio::awaitable<absl::StatusOr<std::string_view>> ReadIdle(milliseconds timeout) override {
    return Read(timeout);
  }
  asio::awaitable<absl::Status> Write(std::string_view octets, milliseconds timeout) override {
    write_timeout_ = timeout;
    if (closed_ || takes_nothing_) co_return absl::UnavailableError("not taken");
    taken_ += octets;
    co_return absl::OkStatus();
  }
  asio::awaitable<absl::Status> StartTls(const net::TlsParty&, milliseconds) override {
    co_return absl::UnimplementedError("none");
  }
  std::optional<net::TlsFacts> tls() const override { return std::nullopt; }
  void StopIdling() override {}
  void Close() override {
    closed_ = true;
    timer_.cancel();
  }
  const net::Peer& peer() const override { return peer_; }

  std::string taken_;  // what we wrote to it
  bool closed_ = false;
  bool takes_nothing_ = false;
  milliseconds write_timeout_{0};

 private:
  asio::steady_timer timer_;
  int times_;
  const milliseconds pause_;
  const bool ends_;
  net::Peer peer_;
};

class SpliceTest : public testing::Test {
 protected:
  // Whether it ended within half a minute; how long that took is in took_.
  bool Run(ScriptedPeer& first, ScriptedPeer& second, milliseconds idle) {
    bool done = false;
    const auto started = steady_clock::now();
    net::Spawn(loop_.get_executor(), "test", SpliceBoth(first, second, idle), [&] {
      done = true;
      loop_.stop();
    });
    loop_.run_for(seconds(30));
    took_ = steady_clock::now() - started;
    return done && first.closed_ && second.closed_;
  }

  asio::awaitable<void> SpliceBoth(ScriptedPeer& first, ScriptedPeer& second, milliseconds idle) {
    spliced_ = co_await Splice(first, second, idle, kWrite);
  }

  static constexpr milliseconds kWrite{1234};
  asio::io_context loop_;
  Spliced spliced_;
  steady_clock::duration took_{0};
};

TEST_F(SpliceTest, WhatOneSaidBeforeItEndedIsWrittenAndBothAreClosed) {
  ScriptedPeer first(loop_, 3, milliseconds(1), true), second(loop_, 0, milliseconds(0), false);
  EXPECT_TRUE(Run(first, second, seconds(60)));
  EXPECT_EQ(second.taken_, "octetsoctetsoctets");
  EXPECT_EQ(spliced_.to_second, 18u);
  EXPECT_EQ(spliced_.to_first, 0u);
  EXPECT_EQ(second.write_timeout_, kWrite);
}

TEST_F(SpliceTest, SilenceOfBothEndsTheSessionAfterItsTime) {
  ScriptedPeer first(loop_, 0, milliseconds(0), false), second(loop_, 0, milliseconds(0), false);
  EXPECT_TRUE(Run(first, second, milliseconds(200)));
  EXPECT_GE(took_, milliseconds(200));
}

// As in the middle of a long download: the client has nothing to say.
TEST_F(SpliceTest, SilenceOfOneAloneDoesNotEndTheSession) {
  ScriptedPeer first(loop_, 0, milliseconds(0), false), second(loop_, 30, milliseconds(100), true);
  EXPECT_TRUE(Run(first, second, seconds(2)));
  EXPECT_EQ(spliced_.to_first, 30 * 6u);
}

TEST_F(SpliceTest, OneThatTakesNothingEndsTheSession) {
  ScriptedPeer first(loop_, 1, milliseconds(1), false), second(loop_, 0, milliseconds(0), false);
  second.takes_nothing_ = true;
  EXPECT_TRUE(Run(first, second, seconds(60)));
  EXPECT_EQ(spliced_.to_second, 0u);
}

}  // namespace
}  // namespace prov::pop3
