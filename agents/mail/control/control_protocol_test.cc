#include "agents/mail/control/control_protocol.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace prov::control {
namespace {

TEST(ControlProtocol, KnowsWhatIsAsked) {
  const auto list = ParseRequest(R"({"do":"list","selection":{"recipient_domain":"Example.NET"},"limit":7})");
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(std::get<ListRequest>(*list).selection.recipient_domain, "example.net");
  EXPECT_EQ(std::get<ListRequest>(*list).limit, 7u);
  const auto drop =
      ParseRequest(R"({"do":"drop","selection":{"ids":["b","a","b"]},"by":"operator/x","rehearse":true})");
  ASSERT_TRUE(drop.ok()) << drop.status();
  const auto& change = std::get<queue::Runner::Change>(*drop);
  EXPECT_EQ(change.action, queue::Runner::Action::kDrop);
  EXPECT_EQ(change.selection.ids, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(change.rehearse);
  const auto trace = ParseRequest(R"({"do":"trace","address":"Alice@Example.NET","since":1700000000123})");
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(std::get<queue::TraceQuery>(*trace).address, "alice@example.net");
}

TEST(ControlProtocol, RefusesWhatIsNoRequest) {
  for (const char* bad :
       {"", "x", "[]", "{}", R"({"do":7})", R"({"do":"shut down"})", R"({"do":"list"})",
        R"({"do":"list","selection":[]})", R"({"do":"list","selection":{}})",
        R"({"do":"list","selection":{"all":true},"limit":-1})", R"({"do":"list","selection":{"all":"yes"}})",
        R"({"do":"list","selection":{"all":true,"sender":"a@b.c"}})",
        R"({"do":"list","selection":{"ids":["../x"]}})", R"({"do":"hold","selection":{"all":true}})",
        R"({"do":"hold","selection":{"all":true},"by":7})", R"({"do":"trace"})",
        R"({"do":"trace","traces":[7]})", R"({"do":"trace","traces":"x"})"}) {
    EXPECT_FALSE(ParseRequest(bad).ok()) << bad;
  }
}

TEST(ControlProtocol, AMessageWithManyRecipientsStaysOneLineOfBoundedLength) {
  queue::StoredMessage message;
  message.envelope.id = message.envelope.trace = "id";
  message.envelope.sender = "a\"\n\xff@b.c";
  for (int i = 0; i < 1000; ++i) {
    queue::Recipient recipient;
    recipient.address = std::to_string(i) + "@y.z";
    recipient.reason = std::string(400, '"');
    if (i % 10 == 0) recipient.state = queue::State::kDelivered;
    message.envelope.recipients.push_back(recipient);
  }
  const std::string line = MessageLine("relay", message);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_LT(line.size(), 128u << 10);
  const auto json = nlohmann::json::parse(line)["message"];
  EXPECT_EQ(json["recipients"].size(), kMostListedRecipients);
  EXPECT_EQ(json["further"], 800);
}

}  // namespace
}  // namespace prov::control
