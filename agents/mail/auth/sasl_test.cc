#include "agents/mail/auth/sasl.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace prov::auth {
namespace {

using Step = SaslExchange::Step;

std::string Base64(const std::string& text) { return absl::Base64Escape(text); }

std::string PlainOf(std::string_view on_behalf, std::string_view login, std::string_view password) {
  std::string message(on_behalf);
  message += '\0';
  message += login;
  message += '\0';
  message += password;
  return Base64(message);
}

TEST(Sasl, PlainWithAndWithoutAnInitialResponse) {
  auto exchange = SaslExchange::Begin("PLAIN");
  ASSERT_TRUE(exchange.has_value());
  EXPECT_EQ(exchange->Start(PlainOf("", "alice@example.net", "pass word")), Step::kDone);
  EXPECT_EQ(exchange->login(), "alice@example.net");
  EXPECT_EQ(exchange->TakePassword().Reveal(), "pass word");

  exchange = SaslExchange::Begin("plain");
  EXPECT_EQ(exchange->Start(std::nullopt), Step::kChallenge);
  EXPECT_EQ(exchange->challenge(), "");
  EXPECT_EQ(exchange->Respond(PlainOf("ALICE@example.net", "alice@example.net", "x")), Step::kDone);
}

TEST(Sasl, LoginAsksTwice) {
  auto exchange = SaslExchange::Begin("Login");
  ASSERT_TRUE(exchange.has_value());
  EXPECT_EQ(exchange->Start(std::nullopt), Step::kChallenge);
  EXPECT_EQ(exchange->challenge(), Base64("Username:"));
  EXPECT_EQ(exchange->Respond(Base64("alice@example.net")), Step::kChallenge);
  EXPECT_EQ(exchange->challenge(), Base64("Password:"));
  EXPECT_EQ(exchange->Respond(Base64("secret")), Step::kDone);
  EXPECT_EQ(exchange->login(), "alice@example.net");
  EXPECT_EQ(exchange->TakePassword().Reveal(), "secret");
}

TEST(Sasl, WhatIsNoBase64OrNoMessageIsMalformed) {
  using namespace std::string_literals;
  for (const std::string& line : {"="s,
                                  ""s,
                                  "A"s,
                                  "AB"s,
                                  "ABC"s,
                                  "A==="s,
                                  "AAAA===="s,
                                  "AA A"s,
                                  "AAAA\0AAAA"s,
                                  "AA=A"s,
                                  "QUFB!"s,
                                  Base64("no nul"),
                                  Base64("one\0nul"s),
                                  Base64("\0\0password"s),
                                  Base64("\0login\0"s),
                                  Base64("\0lo\rgin\0password"s),
                                  Base64("\0login\0pass\nword"s),
                                  Base64("\0login\0pass\0word"s),
                                  std::string(2052, 'A'),
                                  std::string(100'000, 'A')}) {
    auto exchange = SaslExchange::Begin("PLAIN");
    EXPECT_EQ(exchange->Start(line), Step::kMalformed) << line.substr(0, 80);
  }
  for (const std::string& name : {""s, "a\nb"s, "a\0b"s}) {
    auto exchange = SaslExchange::Begin("LOGIN");
    exchange->Start(std::nullopt);
    EXPECT_EQ(exchange->Respond(Base64(name)), Step::kMalformed);
  }
}

TEST(Sasl, TwelveKibibytesAreMalformed) {
  for (const size_t octets : {kMaxSaslOctets + 4, size_t{12} * 1024, size_t{1} << 20}) {
    for (const char* mechanism : {"PLAIN", "LOGIN"}) {
      auto exchange = SaslExchange::Begin(mechanism);
      exchange->Start(std::nullopt);
      EXPECT_EQ(exchange->Respond(std::string(octets, 'A')), Step::kMalformed);
    }
  }
}

TEST(Sasl, AStarIsNoResponse) {
  for (const char* mechanism : {"PLAIN", "LOGIN"}) {
    auto exchange = SaslExchange::Begin(mechanism);
    exchange->Start(std::nullopt);
    EXPECT_EQ(exchange->Respond("*"), Step::kMalformed);
  }
}

// They are octets like others here; pam_prov knows that no login has them.
TEST(Sasl, WhatMeansSomethingToLdapStaysAsItIs) {
  for (const std::string& name :
       {std::string("*"), std::string(")(uid=*"), std::string("\\2a"), std::string(" x ")}) {
    auto exchange = SaslExchange::Begin("PLAIN");
    EXPECT_EQ(exchange->Start(PlainOf("", name, "x")), Step::kDone);
    EXPECT_EQ(exchange->login(), name);
  }
}

TEST(Sasl, NobodyActsForAnother) {
  auto exchange = SaslExchange::Begin("PLAIN");
  EXPECT_EQ(exchange->Start(PlainOf("bob@example.net", "alice@example.net", "x")), Step::kOnBehalf);
}

TEST(Sasl, OtherMechanismsAreNotKnown) {
  for (const char* name : {"CRAM-MD5", "PLAINX", "", "PLAI"}) EXPECT_FALSE(SaslExchange::Begin(name)) << name;
}

}  // namespace
}  // namespace prov::auth
