// The store: takes mail for its mailboxes over LMTP (RFC 2033), one answer for each recipient.
#pragma once

#include <memory>
#include <string>

#include "agents/mail/net/blocking.h"
#include "agents/mail/net/connection.h"
#include "agents/mail/policy/policy.h"
#include "agents/mail/queue/runner.h"
#include "agents/mail/queue/spool.h"
#include "agents/mail/route/srs.h"
#include "agents/mail/smtp/handler.h"
#include "agents/state/reader.h"
#include "common/clock.h"

namespace prov::smtp {

// All outlives the sessions.
struct StoreServices {
  std::string hostname;  // in Received and replies
  std::string host;      // in Maildir file names
  std::string maildir_root;
  bool defers_over_quota = false;  // 452 for a full mailbox rather than 552
  std::string scratch_directory;   // for messages coming in
  state::StateReader* state = nullptr;
  policy::Policy* policy = nullptr;
  queue::Spool* forwards = nullptr;
  queue::Runner* runner = nullptr;         // of forwards
  queue::TraceLog* trace = nullptr;        // null: what becomes of mail is in the log alone
  net::BlockingPool* pool = nullptr;       // for what this host keeps to itself
  net::BlockingPool* mailboxes = nullptr;  // for what lies in storage that clones share, and may hang
  const Clock* clock = nullptr;
  const route::SenderRewriting* rewriting = nullptr;  // of what is forwarded; may be null
};

std::unique_ptr<Handler> MakeLmtpHandler(const StoreServices& services, const net::Peer& peer);

}  // namespace prov::smtp
