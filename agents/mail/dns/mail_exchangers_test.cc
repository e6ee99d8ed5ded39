#include "agents/mail/dns/mail_exchangers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace prov::dns {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;
using testing::UnorderedElementsAre;

constexpr char kUs[] = "relay.example.net";

ExchangerOrder Order(std::vector<MailExchanger> exchangers, uint32_t seed = 1) {
  std::mt19937 random(seed);
  return OrderExchangers(std::move(exchangers), "example.org", kUs, random);
}

TEST(MailExchangers, GoInTheOrderOfTheirPreference) {
  const ExchangerOrder order = Order({{20, "c.example.org"}, {0, "a.example.org"}, {10, "b.example.org"}});
  EXPECT_THAT(order.hosts, ElementsAre("a.example.org", "b.example.org", "c.example.org"));
  EXPECT_EQ(order.refusal, "");
}

TEST(MailExchangers, OfOnePreferenceShareTheLoad) {
  std::set<std::string> first;
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const ExchangerOrder order =
        Order({{5, "a.example.org"}, {5, "b.example.org"}, {9, "z.example.org"}}, seed);
    ASSERT_EQ(order.hosts.size(), 3U);
    first.insert(order.hosts.front());
    EXPECT_EQ(order.hosts.back(), "z.example.org");
  }
  EXPECT_THAT(first, UnorderedElementsAre("a.example.org", "b.example.org"));
}

TEST(MailExchangers, WithoutRecordsTheDomainTakesItsMailItself) {
  EXPECT_THAT(Order({}).hosts, ElementsAre("example.org"));
}

TEST(MailExchangers, NullMeansThatNoMailIsTaken) {
  const ExchangerOrder order = Order({{0, ""}});
  EXPECT_THAT(order.hosts, IsEmpty());
  EXPECT_THAT(order.refusal, StartsWith("556 5.1.10 "));
  EXPECT_THAT(Order({{0, ""}, {10, "a.example.org"}}).hosts, ElementsAre("a.example.org"));
}

TEST(MailExchangers, NoBetterThanUsAreLeftOut) {
  const ExchangerOrder order =
      Order({{5, "a.example.org"}, {10, "Relay.Example.NET."}, {10, "b.example.org"}, {20, "c.example.org"}});
  EXPECT_THAT(order.hosts, ElementsAre("a.example.org"));
}

TEST(MailExchangers, OfWhichWeAreTheBestLoop) {
  const ExchangerOrder order = Order({{5, kUs}, {10, "b.example.org"}});
  EXPECT_THAT(order.hosts, IsEmpty());
  EXPECT_THAT(order.refusal, StartsWith("554 5.4.6 "));
  std::mt19937 random(1);
  EXPECT_THAT(OrderExchangers({}, kUs, kUs, random).refusal, StartsWith("554 5.4.6 "));
}

TEST(MailExchangers, ThatComeTwiceAreTriedOnce) {
  EXPECT_THAT(Order({{5, "a.example.org"}, {10, "A.example.org"}}).hosts, ElementsAre("a.example.org"));
}

TEST(Addresses, OfBothFamiliesComeByTurns) {
  const auto Address = [](const char* text) { return asio::ip::make_address(text); };
  const std::vector<asio::ip::address> all = {Address("192.0.2.1"), Address("192.0.2.2"),
                                              Address("192.0.2.3"), Address("2001:db8::1")};
  EXPECT_THAT(AlternateFamilies(all, 8), ElementsAre(all[3], all[0], all[1], all[2]));
  EXPECT_THAT(AlternateFamilies(all, 2), ElementsAre(all[3], all[0]));
  EXPECT_THAT(AlternateFamilies({}, 2), IsEmpty());
}

}  // namespace
}  // namespace prov::dns
