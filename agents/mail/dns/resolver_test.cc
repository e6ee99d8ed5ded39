#include "agents/mail/dns/resolver.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <asio/ip/udp.hpp>
#include <asio/steady_timer.hpp>
#include <map>
#include <string>
#include <utility>

#include "agents/mail/dns/testing/dns_server.h"
#include "agents/mail/net/spawn.h"

namespace prov::dns {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class Dns : public testing::Test {
 protected:
  Dns() { resolver_ = *MakeResolver(loop_.get_executor(), {server_.address()}); }

  template <typename T>
  T Await(asio::awaitable<T> question) {
    std::optional<T> result;
    net::Spawn(
        loop_.get_executor(), "test",
        [](asio::awaitable<T> asked, std::optional<T>& out) -> asio::awaitable<void> {
          out.emplace(co_await std::move(asked));
        }(std::move(question), result),
        [this] { loop_.stop(); });
    loop_.restart();
    loop_.run();
    return *std::move(result);
  }

  std::vector<std::string> Addresses(const std::string& host) {
    const auto found = Await(resolver_->FindAddresses(host));
    EXPECT_TRUE(found.ok()) << found.status();
    std::vector<std::string> texts;
    if (found.ok()) {
      for (const auto& one : *found) texts.push_back(one.to_string());
    }
    return texts;
  }

  asio::io_context loop_;
  TestDnsServer server_{loop_};
  std::unique_ptr<Resolver> resolver_;
};

TEST_F(Dns, FindsMailExchangers) {
  server_.Set("example.org", kMx,
              {0, {Number(10) + Name("MX1.example.org"), Number(20) + Name("mx2.example.org")}});
  const auto found = Await(resolver_->FindExchangers("example.org"));
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_THAT(*found, SizeIs(2));
  std::map<uint16_t, std::string> hosts;
  for (const MailExchanger& one : *found) hosts[one.preference] = one.host;
  EXPECT_EQ(hosts[10], "mx1.example.org");
  EXPECT_EQ(hosts[20], "mx2.example.org");
}

TEST_F(Dns, GivesANullExchangerAsAHostWithoutName) {
  server_.Set("example.org", kMx, {0, {Number(0) + Name("")}});
  const auto found = Await(resolver_->FindExchangers("example.org"));
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_THAT(*found, SizeIs(1));
  EXPECT_EQ(found->front().host, "");
}

TEST_F(Dns, FindsAddressesOfBothFamilies) {
  server_.Set("mx.example.org", kA, {0, {std::string("\xc0\x00\x02\x01", 4)}});
  server_.Set("mx.example.org", kAaaa, {0, {"\x20\x01\x0d\xb8" + std::string(11, '\0') + "\x01"}});
  EXPECT_THAT(Addresses("mx.example.org"), UnorderedElementsAre("192.0.2.1", "2001:db8::1"));
}

TEST_F(Dns, TellsWhatIsNotThereFromWhatCannotBeSaid) {
  server_.Set("empty.example.org", kMx, {});
  server_.Set("broken.example.org", kMx, {kServerFailed, {}});
  const auto empty = Await(resolver_->FindExchangers("empty.example.org"));
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_THAT(*empty, IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(Await(resolver_->FindExchangers("none.example.org")).status()));
  EXPECT_TRUE(absl::IsUnavailable(Await(resolver_->FindExchangers("broken.example.org")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Await(resolver_->FindExchangers("a b.example.org")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Await(resolver_->FindExchangers(std::string("a\0b", 3))).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Await(resolver_->FindExchangers("a..example.org")).status()));
}

TEST_F(Dns, GoesOnWithOneFamilyWhereTheOtherFails) {
  server_.Set("mx.example.org", kAaaa, {kServerFailed, {}});
  server_.Set("mx.example.org", kA, {0, {std::string("\xc0\x00\x02\x01", 4)}});
  EXPECT_THAT(Addresses("mx.example.org"), ElementsAre("192.0.2.1"));
}

TEST_F(Dns, IsUnavailableWhereNobodyAnswers) {
  asio::io_context other;
  const std::string nobody = TestDnsServer(other).address();
  resolver_ = *MakeResolver(loop_.get_executor(), {nobody});
  EXPECT_TRUE(absl::IsUnavailable(Await(resolver_->FindAddresses("mx.example.org")).status()));
}

TEST_F(Dns, DestroyedWhileItAsksItAnswersUnavailable) {
  udp::socket silent(loop_, {asio::ip::make_address("127.0.0.1"), 0});
  resolver_ =
      *MakeResolver(loop_.get_executor(), {fmt::format("127.0.0.1:{}", silent.local_endpoint().port())});
  asio::steady_timer soon(loop_, std::chrono::milliseconds(20));
  soon.async_wait([this](std::error_code) { resolver_.reset(); });
  EXPECT_TRUE(absl::IsUnavailable(Await(resolver_->FindExchangers("example.org")).status()));
}

TEST(Resolver, TakesAddressesOfServersOnly) {
  asio::io_context loop;
  EXPECT_TRUE(absl::IsInvalidArgument(MakeResolver(loop.get_executor(), {"dns.example.org:53"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeResolver(loop.get_executor(), {"127.0.0.1"}).status()));
  EXPECT_TRUE(MakeResolver(loop.get_executor(), {"127.0.0.1:53", "[::1]:53"}).ok());
}

}  // namespace
}  // namespace prov::dns
