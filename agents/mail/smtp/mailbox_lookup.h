// Whose mailbox an LMTP recipient names, from the host's copy of the store view.
#pragma once

#include <optional>

#include "agents/mail/smtp/path.h"
#include "agents/mail/smtp/reply.h"
#include "agents/state/reader.h"
#include "common/clock.h"

namespace prov::smtp {

struct MailboxAnswer {
  std::optional<v1::Mailbox> mailbox;
  Reply refusal;  // when there is none
};

// Thread-safe. Follows domain aliases and catch-all, like the relay's router, so that
// any relay may be in front. "Unknown" is said for good only while the copy is current (I5).
MailboxAnswer LookUpMailbox(state::StateReader& state, const Clock& clock, const Path& recipient);

}  // namespace prov::smtp
