#include "agents/mail/smtp/header_scanner.h"

#include <gtest/gtest.h>

namespace prov::smtp {
namespace {

HeaderFacts Scan(const std::string& message, size_t step) {
  HeaderScanner scanner;
  for (size_t i = 0; i < message.size(); i += step) scanner.Feed(std::string_view(message).substr(i, step));
  scanner.Finish();
  return scanner.facts();
}

TEST(HeaderScanner, NotesTheHeaderAndNothingOfTheBody) {
  const std::string message =
      "Received: from a\r\n\tid 0123\r\nreceived : by b\r\nDelivered-To: Alice@Example.Net \r\nDate: x\r\n"
      "Subject: y\r\n\r\nReceived: body\r\nDelivered-To: bob@example.net\r\n";
  for (const size_t step : {size_t{1}, size_t{7}, size_t{4096}}) {
    const HeaderFacts facts = Scan(message, step);
    EXPECT_EQ(facts.received, 2);
    EXPECT_EQ(facts.first_received, "Received: from a\tid 0123");
    EXPECT_EQ(facts.delivered_to, std::vector<std::string>{"alice@example.net"});
    EXPECT_TRUE(facts.has_date);
    EXPECT_FALSE(facts.has_message_id);
    EXPECT_EQ(facts.octets, message.find("Received: body"));
  }
}

TEST(HeaderScanner, AMessageWithoutHeaderHasNoLongOne) {
  EXPECT_EQ(Scan(" begins with a blank\r\n" + std::string(200'000, 'x'), 1000).octets, 0u);
  EXPECT_EQ(Scan("just text\r\nReceived: x\r\n", 1000).received, 0);
  EXPECT_EQ(Scan("\r\nReceived: x\r\n", 1000).received, 0);
}

TEST(HeaderScanner, MeasuresEndlessFieldsAndManyFields) {
  EXPECT_GT(Scan("X: " + std::string(200'000, 'x'), 4096).octets, kMaxHeaderOctets);
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "X: y\r\n";
  EXPECT_GT(Scan(many, 4096).octets, kMaxHeaderOctets);
}

}  // namespace
}  // namespace prov::smtp
