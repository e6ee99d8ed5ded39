#include "agents/mail/queue/notification.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "agents/mail/queue/mail_date.h"
#include "agents/mail/queue/xtext.h"
#include "common/utf8.h"

namespace prov::queue {
namespace {

struct Wording {
  DsnAction action;
  const char* name;
  const char* subject;
  const char* text;
};

constexpr Wording kWordings[] = {
    {DsnAction::kFailed, "failed", "Undelivered mail returned to sender",
     "Your message could not be delivered to these recipients:"},
    {DsnAction::kDelayed, "delayed", "Delayed mail (still being tried)",
     "Your message has not been delivered to these recipients yet. It is tried further; you\r\n"
     "need not send it again:"},
    {DsnAction::kDelivered, "delivered", "Successful delivery of mail",
     "Your message was delivered to these recipients:"},
    {DsnAction::kRelayed, "relayed", "Mail relayed to the next host",
     "Your message was handed on for these recipients, to a host that does not tell of its\r\n"
     "delivery:"},
};

const Wording& WordingOf(DsnAction action) {
  return *std::find_if(std::begin(kWordings), std::end(kWordings),
                       [action](const Wording& wording) { return wording.action == action; });
}

std::string_view HeaderOf(std::string_view message) {
  message = message.substr(0, kMaxReturnedHeaderOctets);
  if (message.starts_with("\r\n")) return {};
  const size_t end = message.find("\r\n\r\n");
  if (end != message.npos) return message.substr(0, end + 2);
  const size_t last = message.rfind("\r\n");  // cut at a whole line
  return last == message.npos ? std::string_view() : message.substr(0, last + 2);
}

// What goes into a header field of ours.
std::string Plain(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c < ' ' || c > '~') c = '?';
  }
  return result;
}

bool IsEightBit(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) > 0x7f; });
}

// "rfc822; bob@example.net", or beyond ASCII "utf-8; \x{E4}@example.net": RFC 6533 section 3.
std::string TypedAddress(std::string_view address) {
  if (!IsEightBit(address)) return "rfc822; " + Plain(address);
  std::string typed = "utf-8; ";
  while (!address.empty()) {
    char32_t character = 0;
    const size_t length = std::max<size_t>(DecodeUtf8(address, character), 1);
    typed += length == 1 ? Plain(address.substr(0, 1))
                         : fmt::format("\\x{{{:X}}}", static_cast<uint32_t>(character));
    address.remove_prefix(length);
  }
  return typed;
}

std::string HumanPart(const Notification& n) {
  std::string part =
      fmt::format("This is the mail system of {}.\r\n\r\n{}\r\n\r\n", n.hostname, WordingOf(n.action).text);
  for (const Report& report : n.reports) {
    part += fmt::format("  <{}>\r\n    {}\r\n\r\n", Plain(report.recipient->address), Plain(report.reason));
  }
  if (n.action == DsnAction::kDelayed)
    part += fmt::format("It is tried until {}.\r\n", MailDate(n.retried_until));
  return part + (n.whole ? "Your message follows.\r\n" : "The header of your message follows.\r\n");
}

// RFC 3464 section 2.3, of one recipient.
std::string RecipientFields(const Notification& n, const Report& report) {
  std::string fields = "\r\n";
  const std::string& original = report.recipient->original;
  const size_t type = original.find(';');
  if (const auto address =
          DecodeXtext(std::string_view(original).substr(type == original.npos ? 0 : type + 1));
      type != original.npos && address) {
    fields += fmt::format("Original-Recipient: {}; {}\r\n", Plain(original.substr(0, type)), Plain(*address));
  }
  fields += fmt::format("Final-Recipient: {}\r\nAction: {}\r\nStatus: {}\r\nDiagnostic-Code: smtp; {}\r\n",
                        TypedAddress(report.recipient->address), WordingOf(n.action).name,
                        StatusCodeOf(report.reason), Plain(report.reason));
  if (n.action == DsnAction::kDelayed)
    fields += fmt::format("Will-Retry-Until: {}\r\n", MailDate(n.retried_until));
  return fields;
}

// RFC 3464 section 2.
std::string StatusPart(const Notification& n) {
  std::string part;
  if (const auto id = DecodeXtext(n.original->envelope_id); id && !id->empty())
    part += fmt::format("Original-Envelope-Id: {}\r\n", Plain(*id));
  part += fmt::format("Reporting-MTA: dns; {}\r\nX-Queue-Id: {}\r\nArrival-Date: {}\r\n", n.hostname,
                      n.original->trace, MailDate(n.original->received));
  for (const Report& report : n.reports) part += RecipientFields(n, report);
  return part;
}

// RFC 6522 section 3: the message, or its header.
std::string ReturnedPart(const Notification& n) {
  const std::string_view returned = n.whole ? std::string_view(n.original_start) : HeaderOf(n.original_start);
  std::string part = fmt::format("Content-Type: {}\r\n", n.whole ? "message/rfc822" : "text/rfc822-headers");
  if (IsEightBit(returned)) part += "Content-Transfer-Encoding: 8bit\r\n";
  part += "\r\n";
  part += returned;
  return part;
}

}  // namespace

std::string StatusCodeOf(std::string_view reason) {
  // "550 5.1.1 …": class.subject.detail (RFC 3463 section 2).
  const std::string_view word = reason.size() > 4 ? reason.substr(4, reason.find(' ', 4) - 4) : "";
  const bool digits =
      std::all_of(word.begin(), word.end(), [](char c) { return c == '.' || std::isdigit(c); });
  if (digits && std::count(word.begin(), word.end(), '.') == 2 && word.size() >= 5 && word.size() <= 9) {
    return std::string(word);
  }
  return reason.starts_with('4') ? "4.0.0" : reason.starts_with('2') ? "2.0.0" : "5.0.0";
}

Envelope NotificationEnvelope(const Envelope& original, std::string id, Time now) {
  Envelope envelope;
  envelope.id = std::move(id);
  envelope.trace = original.trace;
  envelope.received = now;
  envelope.client = "local";
  envelope.eight_bit = true;
  envelope.utf8 = IsEightBit(original.sender);
  envelope.recipients.push_back({original.sender});
  return envelope;
}

std::string FormatNotification(const Notification& n) {
  const std::string boundary = fmt::format("=_{}_report", n.id);
  const std::string& sender = n.original->sender;
  std::string message = fmt::format(
      "From: Mail Delivery System <MAILER-DAEMON@{}>\r\n"
      "To: <{}>\r\n"
      "Subject: {}\r\n"
      "Date: {}\r\n"
      "Message-ID: <{}@{}>\r\n"
      "Auto-Submitted: auto-replied\r\n"
      "MIME-Version: 1.0\r\n"
      "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{}\"\r\n\r\n",
      // Whoever has an address beyond ASCII reads UTF-8 in a header (RFC 6532).
      n.hostname, IsEightBit(sender) ? sender : Plain(sender), WordingOf(n.action).subject, MailDate(n.now),
      n.id, n.hostname, boundary);
  message +=
      fmt::format("--{}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{}\r\n", boundary, HumanPart(n));
  message +=
      fmt::format("--{}\r\nContent-Type: message/delivery-status\r\n\r\n{}\r\n", boundary, StatusPart(n));
  message += fmt::format("--{}\r\n{}\r\n--{}--\r\n", boundary, ReturnedPart(n), boundary);
  return message;
}

}  // namespace prov::queue
