// Tells a sender who asked for it that his mail is in the mailbox: RFC 3461 section 5.2.2, RFC 3464. Blocks.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "agents/mail/queue/message_format.h"
#include "agents/mail/queue/spool.h"
#include "agents/mail/smtp/content_spool.h"

namespace prov::smtp {

// Queues the notification; it is durable then, and to be handed to the queue's runner. `original` names the
// one recipient, and its sender is not null.
absl::StatusOr<queue::StoredMessage> QueueDeliveryNotice(const std::string& hostname,
                                                         const queue::Envelope& original,
                                                         const ContentSpool& content, queue::Time now,
                                                         queue::Spool& spool);

}  // namespace prov::smtp
