// The relay: takes mail for whom its policies allow, and queues it. 250 means that it is durable.
#pragma once

#include <memory>
#include <string>

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
};

// `trusted`: the peer may relay to other domains.
std::unique_ptr<Handler> MakeRelayHandler(const RelayServices& services, const net::Peer& peer, bool trusted);

}  // namespace prov::smtp
