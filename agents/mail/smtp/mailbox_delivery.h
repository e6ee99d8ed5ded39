// One message into one mailbox of a store: a copy into its Maildir, forwards into the queue, both durable.
// Blocks; for the blocking pool.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/mail/queue/spool.h"
#include "agents/mail/route/srs.h"
#include "agents/mail/smtp/command.h"
#include "agents/mail/smtp/content_spool.h"
#include "agents/state/reader.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::smtp {

struct MailboxDelivery {
  const v1::Mailbox* mailbox = nullptr;
  const ContentSpool* content = nullptr;
  std::string maildir_root;
  std::string host;  // in Maildir file names
  std::string name;  // of the file, so that a repeated delivery is one; empty: a new one each time
  std::string trace;
  std::string sender;                 // empty: null
  std::string client;                 // address it came from
  std::string received;               // our Received field
  const MailCommand* mail = nullptr;  // what else its sender said, and
  queue::Notify notify;               // of this recipient
  std::string original;               // ORCPT
  bool blank_first = false;           // the message begins with a blank: no header, keep ours apart
  queue::Time now;
  // What forwarded mail comes from, where its sender is of another domain. Null: from its sender.
  const route::SenderRewriting* rewriting = nullptr;
  state::StateReader* state = nullptr;
};

struct Delivered {
  std::string file;                            // in the Maildir; empty: no copy is kept
  std::vector<queue::StoredMessage> forwards;  // none or one; to be handed to the queue's runner
};

// When it returns OK, all of it is durable; otherwise as good as nothing happened: OUT_OF_RANGE
// when the copy would exceed the mailbox's quota, and then nothing is sent on either. `spool` takes forwards.
absl::StatusOr<Delivered> DeliverToMailbox(const MailboxDelivery& delivery, queue::Spool& spool);

}  // namespace prov::smtp
