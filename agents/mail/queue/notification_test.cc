#include "agents/mail/queue/notification.h"

#include <gtest/gtest.h>

#include "agents/mail/queue/mail_date.h"
#include "agents/mail/queue/retry.h"

namespace prov::queue {
namespace {

using std::chrono::milliseconds;

Envelope Original() {
  Envelope envelope;
  envelope.id = envelope.trace = "018f";
  envelope.sender = "alice@example.org";
  envelope.recipients = {{"bob@example.net"}};
  return envelope;
}

std::string Format(const std::string& original_start, const std::string& reason) {
  const Envelope original = Original();
  return FormatNotification({.hostname = "mx.example.net",
                             .id = "018fd0",
                             .now = Time(),
                             .original = &original,
                             .original_start = original_start,
                             .reports = {{&original.recipients[0], reason}}});
}

bool Has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

TEST(Notification, TellsWhoFailedAndWhyAsRfc3464Wants) {
  const std::string text = Format("Subject: hello\r\nFrom: a\r\n\r\nthe body\r\n", "550 5.1.1 no such user");
  EXPECT_TRUE(Has(text, "To: <alice@example.org>\r\n"));
  EXPECT_TRUE(Has(text, "Auto-Submitted: auto-replied\r\n"));
  EXPECT_TRUE(Has(text, "report-type=delivery-status"));
  EXPECT_TRUE(Has(text, "Reporting-MTA: dns; mx.example.net\r\n"));
  EXPECT_TRUE(Has(text, "Final-Recipient: rfc822; bob@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n"));
  EXPECT_TRUE(Has(text, "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"));
  EXPECT_TRUE(Has(text, "Subject: hello\r\nFrom: a\r\n"));
  EXPECT_FALSE(Has(text, "the body"));  // only the header comes back
}

TEST(Notification, SaysWhatTheSenderSaidOfTheEnvelope) {
  Envelope original = Original();
  original.envelope_id = "QQ+2B1";
  original.recipients[0].original = "rfc822;Bob+2Bx@example.com";
  const std::string text = FormatNotification({.hostname = "mx.example.net",
                                               .id = "018fd0",
                                               .original = &original,
                                               .original_start = "Subject: hello\r\n\r\nthe body\r\n",
                                               .whole = true,
                                               .reports = {{&original.recipients[0], "550 5.1.1 no"}}});
  EXPECT_TRUE(Has(text, "\r\nOriginal-Envelope-Id: QQ+1\r\n"));
  EXPECT_TRUE(Has(
      text,
      "\r\nOriginal-Recipient: rfc822; Bob+x@example.com\r\nFinal-Recipient: rfc822; bob@example.net\r\n"));
  EXPECT_TRUE(Has(text, "Content-Type: message/rfc822\r\n\r\nSubject: hello\r\n\r\nthe body\r\n"));
}

TEST(Notification, OfADelayTellsHowLongItIsTried) {
  const Envelope original = Original();
  const std::string text =
      FormatNotification({.hostname = "mx.example.net",
                          .id = "018fw0",
                          .original = &original,
                          .action = DsnAction::kDelayed,
                          .retried_until = Time(std::chrono::seconds(1704207845)),
                          .reports = {{&original.recipients[0], "451 4.4.1 no answer"}}});
  EXPECT_TRUE(Has(text, "\r\nAction: delayed\r\nStatus: 4.4.1\r\n"));
  EXPECT_TRUE(Has(text, "\r\nWill-Retry-Until: Tue, 02 Jan 2024 15:04:05 +0000\r\n"));
}

TEST(Notification, AnAddressBeyondAsciiIsTypedAsRfc6533Wants) {
  Envelope original = Original();
  original.recipients[0].address =
      "b\xc3\xb6"
      "b@example.net";
  const std::string text = FormatNotification({.hostname = "mx.example.net",
                                               .id = "018fd0",
                                               .original = &original,
                                               .reports = {{&original.recipients[0], "550 5.1.1 no"}}});
  EXPECT_TRUE(Has(text, "\r\nFinal-Recipient: utf-8; b\\x{F6}b@example.net\r\n"));
}

TEST(Notification, WhatOthersSaidForgesNoHeader) {
  const std::string text = Format("Subject: x\r\n\r\n", "550 no\r\nBcc: victim@example.net\r\n\r\nhello");
  EXPECT_FALSE(Has(text, "\r\nBcc:"));
  for (size_t i = text.find('\n'); i != text.npos; i = text.find('\n', i + 1)) EXPECT_EQ(text[i - 1], '\r');
}

TEST(Notification, ReturnsALongHeaderCutAtALine) {
  std::string header;
  while (header.size() < 3 * kMaxReturnedHeaderOctets) header += "X-Long: 0123456789\r\n";
  const std::string text = Format(header, "550 5.0.0 no");
  EXPECT_LT(text.size(), kMaxReturnedHeaderOctets + 4096);
  EXPECT_TRUE(Has(text, "0123456789\r\n\r\n--"));
}

TEST(Notification, StatusCodes) {
  EXPECT_EQ(StatusCodeOf("550 5.1.1 no"), "5.1.1");
  EXPECT_EQ(StatusCodeOf("550 5.1.1"), "5.1.1");
  EXPECT_EQ(StatusCodeOf("550 no such user"), "5.0.0");
  EXPECT_EQ(StatusCodeOf("451 later"), "4.0.0");
  EXPECT_EQ(StatusCodeOf("550"), "5.0.0");
  EXPECT_EQ(StatusCodeOf(""), "5.0.0");
}

TEST(MailDate, IsRfc5322InUtc) {
  EXPECT_EQ(MailDate(Time(std::chrono::seconds(1704207845))), "Tue, 02 Jan 2024 15:04:05 +0000");
}

TEST(Retry, DoublesUpToTheLongestWithJitter) {
  const RetrySchedule schedule{milliseconds(1000), milliseconds(5000), milliseconds(100000)};
  EXPECT_EQ(RetryDelay(schedule, 1, 0.5), milliseconds(1000));
  EXPECT_EQ(RetryDelay(schedule, 2, 0.5), milliseconds(2000));
  EXPECT_EQ(RetryDelay(schedule, 3, 0.5), milliseconds(4000));
  EXPECT_EQ(RetryDelay(schedule, 4, 0.5), milliseconds(5000));
  EXPECT_EQ(RetryDelay(schedule, UINT32_MAX, 0.5), milliseconds(5000));
  EXPECT_EQ(RetryDelay(schedule, 1, 0), milliseconds(750));
  EXPECT_LE(RetryDelay(schedule, 1, 0.999), milliseconds(1250));
}

}  // namespace
}  // namespace prov::queue
