#include <gtest/gtest.h>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agents/mail/net/blocking.h"
#include "agents/mail/net/connector.h"
#include "agents/mail/net/host_port.h"
#include "agents/mail/net/listener.h"
#include "agents/mail/net/spawn.h"

namespace prov::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kLong = seconds(20);

// Runs `task` on the loop until it is done; whatever else is there is cut off.
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

asio::awaitable<void> Echo(std::unique_ptr<Connection> connection) {
  for (;;) {
    const absl::StatusOr<std::string_view> got = co_await connection->ReadIdle(kLong);
    if (absl::IsCancelled(got.status())) {
      const absl::Status said = co_await connection->Write("bye\n", kLong);
      co_return;
    }
    if (!got.ok()) co_return;
    const std::string copy(*got);
    const absl::Status written = co_await connection->Write(copy, kLong);
    if (!written.ok()) co_return;
  }
}

asio::awaitable<std::string> ReadUntilClosed(Connection& connection) {
  std::string all;
  for (;;) {
    const absl::StatusOr<std::string_view> got = co_await connection.Read(kLong);
    if (!got.ok()) co_return all;
    all += *got;
  }
}

class Net : public testing::Test {
 protected:
  void Listen(Listener::Serve serve, ListenOptions options = {}) {
    options.address = "127.0.0.1:0";
    options.protocol = "test";
    auto listener = Listener::Start(loop_.get_executor(), std::move(options), std::move(serve));
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = std::move(*listener);
    address_ = "127.0.0.1:" + std::to_string(listener_->port());
  }

  asio::io_context loop_;
  std::unique_ptr<Listener> listener_;
  std::string address_;
};

TEST_F(Net, CarriesOctetsBothWays) {
  Listen(Echo);
  RunUntilDone(loop_, [](std::string address) -> asio::awaitable<void> {
    auto connection = co_await Connect(address, kLong);
    EXPECT_TRUE(connection.ok());
    if (!connection.ok()) co_return;
    const std::string sent(300'000, 'x');
    size_t back = 0;
    for (int round = 0; round < 3; ++round) {
      const std::string_view part = std::string_view(sent).substr(round * 100'000, 100'000);
      const absl::Status written = co_await (*connection)->Write(part, kLong);
      EXPECT_TRUE(written.ok());
      for (const size_t want = back + part.size(); back < want;) {
        const auto got = co_await (*connection)->Read(kLong);
        EXPECT_TRUE(got.ok());
        if (!got.ok()) co_return;
        back += got->size();
      }
    }
    EXPECT_EQ(back, sent.size());
  }(address_));
}

TEST_F(Net, SilenceEndsAtTheDeadlineAndTheNextOperationIsNotHurt) {
  Listen(Echo);
  RunUntilDone(loop_, [](std::string address) -> asio::awaitable<void> {
    auto connection = co_await Connect(address, kLong);
    const auto silence = co_await (*connection)->Read(milliseconds(20));
    EXPECT_TRUE(absl::IsDeadlineExceeded(silence.status())) << silence.status();
    const absl::Status written = co_await (*connection)->Write("again", kLong);
    EXPECT_TRUE(written.ok()) << written;
    const auto got = co_await (*connection)->Read(kLong);
    EXPECT_EQ(got.value_or(""), "again");
  }(address_));
}

TEST_F(Net, APeerThatNeverReadsDoesNotHoldTheWriter) {
  absl::Status outcome;
  bool ended = false;
  Listen([&](std::unique_ptr<Connection> connection) -> asio::awaitable<void> {
    const std::string much(1 << 20, 'x');
    while (outcome.ok()) outcome = co_await connection->Write(much, milliseconds(50));
    ended = true;
  });
  RunUntilDone(loop_, [](std::string address, const bool& ended) -> asio::awaitable<void> {
    auto connection = co_await Connect(address, kLong);
    asio::steady_timer timer(co_await asio::this_coro::executor);
    while (!ended) {
      timer.expires_after(milliseconds(5));
      co_await timer.async_wait(asio::use_awaitable);
    }
  }(address_, ended));
  EXPECT_TRUE(absl::IsDeadlineExceeded(outcome)) << outcome;
}

TEST_F(Net, ClosedByThePeerIsToldApart) {
  Listen([](std::unique_ptr<Connection>) -> asio::awaitable<void> { co_return; });
  RunUntilDone(loop_, [](std::string address) -> asio::awaitable<void> {
    auto connection = co_await Connect(address, kLong);
    const auto got = co_await (*connection)->Read(kLong);
    EXPECT_TRUE(absl::IsOutOfRange(got.status())) << got.status();
  }(address_));
}

TEST_F(Net, OneAddressCannotTakeAllPlaces) {
  ListenOptions options;
  options.most_per_address = 2;
  options.busy_reply = "busy\n";
  Listen(Echo, options);
  RunUntilDone(loop_, [](std::string address) -> asio::awaitable<void> {
    auto first = co_await Connect(address, kLong);
    auto second = co_await Connect(address, kLong);
    auto third = co_await Connect(address, kLong);
    const std::string said = co_await ReadUntilClosed(**third);
    EXPECT_EQ(said, "busy\n");
    // A place that is given back can be taken.
    (*first)->Close();
    for (;;) {
      auto again = co_await Connect(address, kLong);
      const absl::Status written = co_await (*again)->Write("hello", kLong);
      const auto got = co_await (*again)->Read(kLong);
      if (got.ok() && *got == "hello") break;
    }
  }(address_));
}

TEST_F(Net, StopEndsIdleSessionsPolitely) {
  Listen(Echo);
  RunUntilDone(loop_, [](std::string address, Listener& listener) -> asio::awaitable<void> {
    auto connection = co_await Connect(address, kLong);
    const absl::Status written = co_await (*connection)->Write("x", kLong);
    const auto got = co_await (*connection)->Read(kLong);
    EXPECT_EQ(listener.sessions(), 1u);
    listener.Stop();
    const std::string rest = co_await ReadUntilClosed(**connection);
    EXPECT_EQ(rest, "bye\n");
    auto refused = co_await Connect(address, kLong);
    EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
  }(address_, *listener_));
  EXPECT_EQ(listener_->sessions(), 0u);
}

// Says who its peer is, and then what it gets.
asio::awaitable<void> EchoPeer(std::unique_ptr<Connection> connection) {
  const std::string peer = connection->peer().address + "\n";
  const absl::Status written = co_await connection->Write(peer, kLong);
  co_await Echo(std::move(connection));
}

TEST_F(Net, ABalancersClientsAreWhoItSaysAndWhatTheySendIsTheirs) {
  ListenOptions options;
  options.balancers = *AddressSet::Parse({"127.0.0.1"});
  options.most_per_address = 1;  // of each client, not of the balancer
  Listen(EchoPeer, options);
  RunUntilDone(loop_, [](std::string address) -> asio::awaitable<void> {
    std::vector<std::unique_ptr<Connection>> open;
    for (const char* client : {"192.0.2.1", "192.0.2.2"}) {
      auto connection = co_await Connect(address, kLong);
      const std::string header = std::string("PROXY TCP4 ") + client + " 198.51.100.1 5000 25\r\n";
      // In two pieces, the second with the client's own first octets.
      const absl::Status first = co_await (*connection)->Write(header.substr(0, 10), kLong);
      const absl::Status second = co_await (*connection)->Write(header.substr(10) + "hello", kLong);
      std::string said;
      while (said.size() < 15) {
        const auto got = co_await (*connection)->Read(kLong);
        EXPECT_TRUE(got.ok()) << got.status();
        if (!got.ok()) co_return;
        said += *got;
      }
      EXPECT_EQ(said, std::string(client) + "\nhello");
      open.push_back(*std::move(connection));
    }
  }(address_));
}

TEST_F(Net, ABalancerThatNamesNobodyIsNotServed) {
  ListenOptions options;
  options.balancers = *AddressSet::Parse({"127.0.0.1"});
  Listen(EchoPeer, options);
  RunUntilDone(loop_, [](std::string address) -> asio::awaitable<void> {
    auto connection = co_await Connect(address, kLong);
    const absl::Status written = co_await (*connection)->Write("EHLO x\r\n", kLong);
    const std::string said = co_await ReadUntilClosed(**connection);
    EXPECT_EQ(said, "");
  }(address_));
}

TEST_F(Net, NobodyElseIsBelieved) {
  Listen(EchoPeer);
  RunUntilDone(loop_, [](std::string address) -> asio::awaitable<void> {
    auto connection = co_await Connect(address, kLong);
    const absl::Status written =
        co_await (*connection)->Write("PROXY TCP4 192.0.2.1 198.51.100.1 5000 25\r\n", kLong);
    const auto got = co_await (*connection)->Read(kLong);
    EXPECT_TRUE(got.value_or("").starts_with("127.0.0.1\n"));
  }(address_));
}

TEST_F(Net, BlockingWorkRunsBesideTheLoop) {
  BlockingPool pool(2);
  const std::thread::id loop_thread = std::this_thread::get_id();
  RunUntilDone(loop_, [](BlockingPool& pool, std::thread::id loop_thread) -> asio::awaitable<void> {
    const std::thread::id other = co_await RunBlocking(pool, [] { return std::this_thread::get_id(); });
    EXPECT_NE(other, loop_thread);
    EXPECT_EQ(std::this_thread::get_id(), loop_thread);
    int ran = 0;
    co_await RunBlocking(pool, [&ran] { ++ran; });
    EXPECT_EQ(ran, 1);
  }(pool, loop_thread));
}

TEST(HostPort, ReadsWhatConfigurationWrites) {
  EXPECT_EQ(ParseHostPort("mx.example.net:25")->host, "mx.example.net");
  EXPECT_EQ(ParseHostPort("[2001:db8::1]:25")->host, "2001:db8::1");
  EXPECT_EQ(ParseHostPort("*:2525")->port, 2525);
  for (const char* bad : {"", "host", "host:", "host:x", "host:65536", "::1:25", "host:-1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseHostPort(bad).status())) << bad;
  }
}

}  // namespace
}  // namespace prov::net
