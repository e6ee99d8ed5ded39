// The message that tells a sender what became of his mail: RFC 3464 in RFC 6522, as RFC 3461 has it. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agents/mail/queue/message_format.h"

namespace prov::queue {

constexpr size_t kMaxReturnedHeaderOctets = 64 * 1024;
// A message that failed is returned whole only up to here: Postfix's bounce_size_limit.
constexpr size_t kMaxReturnedOctets = 50'000;

// RFC 3464 section 2.3.3.
enum class DsnAction {
  kFailed,
  kDelayed,
  kDelivered,
  kRelayed,  // to where nobody tells of what comes then
};

struct Report {
  const Recipient* recipient = nullptr;  // of the original
  std::string reason;                    // "550 5.1.1 no such user"
};

struct Notification {
  std::string hostname;  // ours
  std::string id;        // of the notification, for Message-ID and boundary
  Time now;
  const Envelope* original = nullptr;
  std::string original_start;  // of the message, CRLF; its header is returned
  bool whole = false;          // original_start is all of it, and is returned
  DsnAction action = DsnAction::kFailed;
  Time retried_until;  // when delayed
  std::vector<Report> reports;
};

// What it is queued with: from the null sender to the original's.
Envelope NotificationEnvelope(const Envelope& original, std::string id, Time now);

// The whole message with CRLF line ends. Its sender must be null, its recipient the original's sender.
std::string FormatNotification(const Notification& notification);

// "5.1.1" of "550 5.1.1 text"; "5.0.0", "4.0.0" or "2.0.0" when there is none.
std::string StatusCodeOf(std::string_view reason);

}  // namespace prov::queue
