#include "agents/mail/smtp/remaining_recipients.h"

#include <gtest/gtest.h>

namespace prov::smtp {
namespace {

using queue::State;

TEST(RemainingRecipients, TheNextHostIsAskedForThoseThatWerePutOffAndForNobodyElse) {
  queue::DeliveryRequest request;
  request.addresses = {"a@x.test", "b@x.test", "c@x.test", "d@x.test"};
  request.recipients = {3, 5, 7, 9};
  RemainingRecipients remaining(request);
  EXPECT_TRUE(remaining.outcomes().empty());
  remaining.Take({{State::kDelivered, "250 a"},
                  {State::kPending, "450 b"},
                  {State::kFailed, "550 c"},
                  {State::kPending, "450 d"}});
  ASSERT_FALSE(remaining.done());
  EXPECT_EQ(remaining.request().addresses, (std::vector<std::string>{"b@x.test", "d@x.test"}));
  EXPECT_EQ(remaining.request().recipients, (std::vector<size_t>{5, 9}));
  remaining.Take({{State::kPending, "451 b"}, {State::kDelivered, "250 d"}});
  remaining.Take({{State::kFailed, "550 b"}});
  EXPECT_TRUE(remaining.done());
  std::string replies;
  for (const queue::Outcome& outcome : remaining.outcomes()) replies += outcome.reply + ", ";
  EXPECT_EQ(replies, "250 a, 550 b, 550 c, 250 d, ");
}

}  // namespace
}  // namespace prov::smtp
