#include <fmt/format.h>
#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <memory>
#include <string>

#include "agents/mail/dns/resolver.h"
#include "agents/mail/dns/testing/dns_server.h"
#include "agents/mail/net/spawn.h"
#include "agents/mail/policy/hello_policy.h"
#include "agents/mail/policy/sender_domain_policy.h"

namespace prov::policy {
namespace {

TEST(HelloPolicy, TakesFullNamesAndAddressLiterals) {
  for (const char* name : {"mx.example.org", "MX.Example.ORG", "a.b.c", "mail_1.example.org",
                           "mx.example.org.", "[192.0.2.1]", "[IPv6:2001:db8::1]"}) {
    EXPECT_TRUE(IsHelloName(name)) << name;
  }
  for (const char* name : {"", "localhost", "friend", ".", "a.", ".a", "a..b", "a b.c", "192.0.2.1:25",
                           "[192.0.2.1", "[]", "[2001:db8::1]", "[IPv6:192.0.2.1]", "[friend]", "a.b\"c"}) {
    EXPECT_FALSE(IsHelloName(name)) << name;
  }
}

class Checks : public testing::Test {
 protected:
  // The code of the verdict, 0 to go on; the enhanced one behind it.
  std::string Ask(Policy& policy, const Client& client, const std::string& sender = "") {
    Envelope envelope;
    envelope.sender = sender;
    Verdict verdict;
    net::Spawn(
        loop_.get_executor(), "test",
        [](Policy& asked, const Client& who, const Envelope& what, Verdict& out) -> asio::awaitable<void> {
          out = co_await asked.Hello(who);
          if (out.go_on()) out = co_await asked.Mail(who, what);
        }(policy, client, envelope, verdict),
        [this] { loop_.stop(); });
    loop_.restart();
    loop_.run();
    return verdict.go_on() ? "" : fmt::format("{} {}", verdict.code, verdict.enhanced);
  }

  asio::io_context loop_;
  dns::TestDnsServer server_{loop_};
  std::unique_ptr<dns::Resolver> resolver_ = *dns::MakeResolver(loop_.get_executor(), {server_.address()});
};

TEST_F(Checks, OfHelloSpareThoseWhoAreTrusted) {
  HelloPolicy policy;
  EXPECT_EQ(Ask(policy, {"192.0.2.1", false, "friend", ""}), "504 5.5.2");
  EXPECT_EQ(Ask(policy, {"192.0.2.1", true, "friend", ""}), "");
  EXPECT_EQ(Ask(policy, {"192.0.2.1", false, "mx.example.org", ""}), "");
}

TEST_F(Checks, OfSendersAskWhetherTheirDomainTakesMail) {
  using dns::Name;
  using dns::Number;
  server_.Set("mx.example", dns::kMx, {0, {Number(10) + Name("mx.example")}});
  server_.Set("null.example", dns::kMx, {0, {Number(0) + Name("")}});
  server_.Set("address.example", dns::kMx, {});
  server_.Set("address.example", dns::kAaaa, {});
  server_.Set("address.example", dns::kA, {0, {std::string("\xc0\x00\x02\x01", 4)}});
  server_.Set("bare.example", dns::kMx, {});
  server_.Set("bare.example", dns::kAaaa, {});
  server_.Set("bare.example", dns::kA, {});
  server_.Set("broken.example", dns::kMx, {dns::kServerFailed, {}});
  server_.Set("xn--bcher-kva.example", dns::kMx, {0, {Number(10) + Name("mx.example")}});
  SenderDomainPolicy policy(*resolver_);
  const Client stranger{"192.0.2.1", false, "mx.example.org", ""};
  EXPECT_EQ(Ask(policy, stranger, "a@mx.example"), "");
  EXPECT_EQ(Ask(policy, stranger, "a@address.example"), "");
  EXPECT_EQ(Ask(policy, stranger, "a@bücher.example"), "");
  EXPECT_EQ(Ask(policy, stranger, ""), "") << "the null sender";
  EXPECT_EQ(Ask(policy, stranger, "a@null.example"), "550 5.7.27");
  EXPECT_EQ(Ask(policy, stranger, "a@bare.example"), "550 5.1.8");
  EXPECT_EQ(Ask(policy, stranger, "a@nothere.example"), "550 5.1.8");
  EXPECT_EQ(Ask(policy, stranger, "a@broken.example"), "451 4.4.3");
  EXPECT_EQ(Ask(policy, {"192.0.2.1", true, "x", ""}, "a@nothere.example"), "");
  EXPECT_EQ(Ask(policy, {"192.0.2.1", false, "x", "user1@example.net"}, "a@nothere.example"), "");
}

}  // namespace
}  // namespace prov::policy
