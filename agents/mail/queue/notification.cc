#include "agents/mail/queue/notification.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "agents/mail/queue/mail_date.h"

namespace prov::queue {
namespace {

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

std::string HumanPart(const Notification& n) {
  std::string part = fmt::format(
      "This is the mail system of {}.\r\n\r\n"
      "Your message could not be delivered to these recipients:\r\n\r\n",
      n.hostname);
  for (const FailedRecipient& failed : n.failed) {
    part += fmt::format("  <{}>\r\n    {}\r\n\r\n", Plain(failed.address), Plain(failed.reason));
  }
  return part + "The header of your message follows.\r\n";
}

// RFC 3464 section 2.
std::string StatusPart(const Notification& n) {
  std::string part = fmt::format("Reporting-MTA: dns; {}\r\nX-Queue-Id: {}\r\nArrival-Date: {}\r\n",
                                 n.hostname, n.original->trace, MailDate(n.original->received));
  for (const FailedRecipient& failed : n.failed) {
    part += fmt::format(
        "\r\nFinal-Recipient: rfc822; {}\r\nAction: failed\r\nStatus: {}\r\n"
        "Diagnostic-Code: smtp; {}\r\n",
        Plain(failed.address), StatusCodeOf(failed.reason), Plain(failed.reason));
  }
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
  return reason.starts_with('4') ? "4.0.0" : "5.0.0";
}

std::string FormatNotification(const Notification& n) {
  const std::string_view header = HeaderOf(n.original_start);
  const std::string boundary = fmt::format("=_{}_report", n.id);
  std::string message = fmt::format(
      "From: Mail Delivery System <MAILER-DAEMON@{}>\r\n"
      "To: <{}>\r\n"
      "Subject: Undelivered mail returned to sender\r\n"
      "Date: {}\r\n"
      "Message-ID: <{}@{}>\r\n"
      "Auto-Submitted: auto-replied\r\n"
      "MIME-Version: 1.0\r\n"
      "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{}\"\r\n\r\n",
      n.hostname, Plain(n.original->sender), MailDate(n.now), n.id, n.hostname, boundary);
  message +=
      fmt::format("--{}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{}\r\n", boundary, HumanPart(n));
  message +=
      fmt::format("--{}\r\nContent-Type: message/delivery-status\r\n\r\n{}\r\n", boundary, StatusPart(n));
  message += fmt::format("--{}\r\nContent-Type: text/rfc822-headers\r\n", boundary);
  if (IsEightBit(header)) message += "Content-Transfer-Encoding: 8bit\r\n";
  message += "\r\n";
  message += header;
  message += fmt::format("\r\n--{}--\r\n", boundary);
  return message;
}

}  // namespace prov::queue
