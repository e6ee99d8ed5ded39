#include "agents/mail/queue/message_format.h"

#include <gtest/gtest.h>

#include <string>

namespace prov::queue {
namespace {

using std::chrono::milliseconds;

Envelope Example() {
  Envelope envelope;
  envelope.id = "018f3c2a9d1c0123456789";
  envelope.trace = "018f3c2a9d1c01234567aa";
  envelope.received = Time(milliseconds(1700000000123));
  envelope.client = "2001:db8::1";
  envelope.eight_bit = true;
  envelope.sender = "alice@example.org";
  envelope.recipients = {{"bob@example.net"}, {"carol@example.net"}};
  return envelope;
}

TEST(MessageFormat, WhatIsWrittenIsReadBack) {
  const std::string head = FormatEnvelope(Example(), 12345);
  EXPECT_EQ(head.substr(ContentLengthOffset(head), FormatLength(0).size()), FormatLength(12345));
  const auto message = ParseEnvelope(head + "Subject: x\r\n\r\nbody\n\n");
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->envelope.id, Example().id);
  EXPECT_EQ(message->envelope.trace, Example().trace);
  EXPECT_EQ(message->envelope.received, Example().received);
  EXPECT_EQ(message->envelope.client, "2001:db8::1");
  EXPECT_TRUE(message->envelope.eight_bit);
  EXPECT_EQ(message->envelope.sender, "alice@example.org");
  ASSERT_EQ(message->envelope.recipients.size(), 2u);
  EXPECT_EQ(message->envelope.recipients[1].address, "carol@example.net");
  EXPECT_EQ(message->content_octets, 12345u);
  EXPECT_EQ(message->content_offset, head.size());
}

TEST(MessageFormat, NothingFromOutsideForgesALine) {
  Envelope envelope = Example();
  envelope.sender = "a@b>\nrecipient <victim@example.net";
  envelope.client = "x\n\nend";
  const auto message = ParseEnvelope(FormatEnvelope(envelope, 0));
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->envelope.recipients.size(), 2u);
  const JournalEntry entry{State::kFailed, Time(), Time(), {0}, "550 no\ndone 1 1 forged"};
  const std::string line = FormatEntry(entry);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST(MessageFormat, NullSenderStaysNull) {
  Envelope envelope = Example();
  envelope.sender.clear();
  const auto message = ParseEnvelope(FormatEnvelope(envelope, 0));
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->envelope.sender, "");
}

// Whatever part of a file a crash leaves, it is either no accepted message or one whose journal is true.
TEST(MessageFormat, TornAtAnyOctetItIsNotAcceptedOrTrue) {
  const std::string content = "Subject: x\r\n\r\nend 018f3c2a9d1c0123456789\n";
  const std::string head = FormatEnvelope(Example(), content.size());
  const std::string mark = FormatEnd(Example().id);
  const std::string done = FormatEntry({State::kDelivered, Time(milliseconds(5)), Time(), {1}, "250 ok"});
  const std::string later =
      FormatEntry({State::kPending, Time(milliseconds(6)), Time(milliseconds(9)), {0}, "451 4.4.1 no"});
  const std::string file = head + content + mark + done + later;
  const size_t accepted = head.size() + content.size() + mark.size();
  for (size_t length = 0; length <= file.size(); ++length) {
    auto message = ParseEnvelope(std::string_view(file).substr(0, std::min(length, head.size())));
    if (length < head.size()) {
      EXPECT_FALSE(message.ok()) << length;
      continue;
    }
    ASSERT_TRUE(message.ok()) << message.status();
    const size_t before = message->content_offset + message->content_octets;
    const std::string_view tail =
        length < before ? "" : std::string_view(file).substr(before, length - before);
    const absl::Status status = ApplyTail(tail, *message);
    EXPECT_EQ(status.ok(), length >= accepted) << length;
    if (!status.ok()) continue;
    const auto& recipients = message->envelope.recipients;
    EXPECT_EQ(recipients[1].state == State::kDelivered, length >= accepted + done.size()) << length;
    EXPECT_EQ(recipients[0].attempts == 1, length == file.size()) << length;
    EXPECT_LE(message->good_octets, length);
  }
}

TEST(MessageFormat, RefusesWhatIsNoneOfOurs) {
  for (const char* head :
       {"", "\n\n", "prov-queue 2\nid a\n\n", "prov-queue 1\nid ../../etc/passwd\nrecipient <a@b>\n\n",
        "prov-queue 1\nid a\n\n", "prov-queue 1\nid a\nrecipient a@b\n\n",
        "prov-queue 1\nid a\nrecipient <a@b>\ncontent 5\n\n", "prov-queue 1\nid a\nstrange <x>\n\n"}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseEnvelope(head).status())) << head;
  }
}

TEST(MessageFormat, JournalOfAnotherMessageIsNotRead) {
  auto message = ParseEnvelope(FormatEnvelope(Example(), 0));
  ASSERT_TRUE(message.ok());
  EXPECT_TRUE(absl::IsDataLoss(ApplyTail("end 0000\n", *message)));
  ASSERT_TRUE(ApplyTail(FormatEnd(Example().id) + "done 1 7 250 ok\n", *message).ok());
  EXPECT_EQ(message->good_octets, message->content_offset + FormatEnd(Example().id).size());
}

}  // namespace
}  // namespace prov::queue
