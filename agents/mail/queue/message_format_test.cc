#include "agents/mail/queue/message_format.h"

#include <gtest/gtest.h>

#include <string>

#include "agents/mail/queue/xtext.h"

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

TEST(MessageFormat, WhatTheSenderAskedForIsReadBack) {
  Envelope envelope = Example();
  envelope.utf8 = true;
  envelope.returned = Return::kFull;
  envelope.envelope_id = "QQ+2B314159";
  envelope.recipients[0].notify = {.said = true};
  envelope.recipients[0].original = "rfc822;bob+40x@example.net";
  envelope.recipients[1].notify = {.said = true, .success = true, .delay = true};
  envelope.recipients[1].original = "rfc822;" + std::string(kMaxOriginalOctets - 7, 'x');
  const auto message = ParseEnvelope(FormatEnvelope(envelope, 0));
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_TRUE(message->envelope.utf8);
  EXPECT_EQ(message->envelope.returned, Return::kFull);
  EXPECT_EQ(message->envelope.envelope_id, "QQ+2B314159");
  EXPECT_EQ(message->envelope.recipients[0].notify, (Notify{.said = true}));
  EXPECT_EQ(message->envelope.recipients[0].original, "rfc822;bob+40x@example.net");
  EXPECT_EQ(message->envelope.recipients[1].notify, (Notify{.said = true, .success = true, .delay = true}));
  EXPECT_EQ(message->envelope.recipients[1].original, envelope.recipients[1].original);
  EXPECT_FALSE(ParseEnvelope(FormatEnvelope(Example(), 0))->envelope.recipients[0].notify.said);
}

TEST(MessageFormat, NotifyIsNeverOrAListOfOthers) {
  EXPECT_EQ(ParseNotify("NEVER"), (Notify{.said = true}));
  EXPECT_EQ(ParseNotify("Success,FAILURE"), (Notify{.said = true, .success = true, .failure = true}));
  for (const char* bad :
       {"", "NEVER,SUCCESS", "SUCCESS,", ",SUCCESS", "SUCCESS,SUCCESS", "success failure", "x"}) {
    EXPECT_FALSE(ParseNotify(bad)) << bad;
  }
}

TEST(MessageFormat, WhoWasToldOfADelayIsNotToldAgain) {
  const JournalEntry told{.time = Time(milliseconds(7)), .recipients = {1}, .told_of_delay = true};
  auto message = ParseEnvelope(FormatEnvelope(Example(), 0));
  ASSERT_TRUE(message.ok());
  ASSERT_TRUE(ApplyTail(FormatEnd(Example().id) + FormatEntry(told), *message).ok());
  EXPECT_FALSE(message->envelope.recipients[0].told_of_delay);
  EXPECT_TRUE(message->envelope.recipients[1].told_of_delay);
  EXPECT_EQ(message->envelope.recipients[1].state, State::kPending);
  EXPECT_EQ(message->envelope.recipients[1].attempts, 0u);
}

TEST(Xtext, DecodesWhatRfc3461AllowsAndNothingElse) {
  EXPECT_EQ(DecodeXtext("a+2Bb+3D"), "a+b=");
  EXPECT_EQ(DecodeXtext(""), "");
  for (const char* bad : {"+", "+2", "+2b", "+XY", "a=b", "a b", "\x7f", "\xc3\xa4"})
    EXPECT_FALSE(DecodeXtext(bad)) << bad;
  for (int octet = 0; octet < 256; ++octet) {
    const std::string one(1, static_cast<char>(octet));
    EXPECT_EQ(DecodeXtext(EncodeXtext(one)), one);
  }
}

TEST(MessageFormat, HeldUntilReleasedAndTheJournalGoesOnBehindIt) {
  const std::string hold = FormatHold(Time(milliseconds(5)), true);
  const std::string release = FormatHold(Time(milliseconds(6)), false);
  EXPECT_EQ(hold + release, "hold 5\nrelease 6\n");
  const std::string done = FormatEntry({State::kDelivered, Time(milliseconds(7)), Time(), {0}, "250 ok"});
  for (const auto& [journal, held] :
       {std::pair(hold, true), std::pair(hold + release, false), std::pair(hold + release + hold, true)}) {
    auto message = ParseEnvelope(FormatEnvelope(Example(), 0));
    ASSERT_TRUE(message.ok());
    const std::string tail = FormatEnd(Example().id) + journal + done;
    ASSERT_TRUE(ApplyTail(tail, *message).ok());
    EXPECT_EQ(message->held, held) << journal;
    EXPECT_EQ(message->envelope.recipients[0].state, State::kDelivered);
    EXPECT_EQ(message->good_octets, message->content_offset + tail.size());
  }
}

TEST(MessageFormat, ALineThatOnlyBeginsLikeAHoldIsTorn) {
  for (const char* torn : {"hold\n", "hold x\n", "hold 5 6\n", "held 5\n"}) {
    auto message = ParseEnvelope(FormatEnvelope(Example(), 0));
    ASSERT_TRUE(message.ok());
    ASSERT_TRUE(ApplyTail(FormatEnd(Example().id) + torn, *message).ok());
    EXPECT_FALSE(message->held);
    EXPECT_EQ(message->good_octets, message->content_offset + FormatEnd(Example().id).size()) << torn;
  }
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
