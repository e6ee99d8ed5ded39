// The relay: takes mail for whom its policies allow, and queues it. 250 means that it is durable.
#pragma once

#include <memory>
#include <string>

#include "agents/mail/auth/authenticator.h"
#include "agents/mail/net/address_set.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/net/connection.h"
#include "agents/mail/policy/policy.h"
#include "agents/mail/queue/runner.h"
#include "agents/mail/queue/spool.h"
#include "agents/mail/smtp/handler.h"
#include "common/clock.h"

namespace prov::smtp {

// All outlives the sessions.
struct RelayServices {
  std::string hostname;
  policy::Policy* policy = nullptr;
  queue::Spool* spool = nullptr;
  queue::Runner* runner = nullptr;
  net::BlockingPool* pool = nullptr;
  const Clock* clock = nullptr;
  const net::AddressSet* trusted = nullptr;      // clients that may send to other domains
  auth::Authenticator* authenticator = nullptr;  // submission: who logged in may, and nobody else
  queue::TraceLog* trace = nullptr;              // null: what becomes of mail is in the log alone
};

std::unique_ptr<Handler> MakeRelayHandler(const RelayServices& services, const net::Peer& peer);

}  // namespace prov::smtp
