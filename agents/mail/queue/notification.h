// The message that tells a sender that his mail could not be delivered: RFC 3464 in RFC 6522. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agents/mail/queue/message_format.h"

namespace prov::queue {

constexpr size_t kMaxReturnedHeaderOctets = 64 * 1024;

struct FailedRecipient {
  std::string address;
  std::string reason;  // "550 5.1.1 no such user"
};

struct Notification {
  std::string hostname;  // ours
  std::string id;        // of the notification, for Message-ID and boundary
  Time now;
  const Envelope* original = nullptr;
  std::string original_start;  // of the message, CRLF; its header is returned
  std::vector<FailedRecipient> failed;
};

// The whole message with CRLF line ends. Its sender must be null, its recipient the original's sender.
std::string FormatNotification(const Notification& notification);

// "5.1.1" of "550 5.1.1 text"; "5.0.0" or "4.0.0" when there is none.
std::string StatusCodeOf(std::string_view reason);

}  // namespace prov::queue
