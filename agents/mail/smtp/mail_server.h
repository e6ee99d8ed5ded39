// The mail side of an engine: listeners, handlers and the queue of one role, wired together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/config.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/net/loops.h"
#include "agents/mail/net/tls_server.h"
#include "agents/mail/queue/runner.h"
#include "agents/mail/queue/trace_log.h"
#include "agents/state/reader.h"
#include "common/clock.h"

namespace prov::smtp {

// Belongs to the first of its loops; sessions run on all. Destroy it after the loops have ended and the pool
// was joined, and before the loops themselves.
class MailServer {
 public:
  virtual ~MailServer() = default;
  // Accepts no more connections, ends idle sessions, begins no more deliveries.
  virtual void Stop() = 0;
  // Cuts off what is left. What was not acknowledged comes again; what was is on disk.
  virtual void CloseAll() = 0;
  // Sessions and deliveries under way.
  virtual size_t busy() const = 0;
  // Where it listens, in the order of the configuration.
  virtual std::vector<uint16_t> ports() const = 0;
  // Of the role's queue.
  virtual queue::Runner& runner() = 0;
};

// SMTP for role relay. What is passed by reference outlives the server, and `tls` and `trace` too; null:
// there is none. The queue lies in RELAY below the configured directory.
absl::StatusOr<std::unique_ptr<MailServer>> StartRelay(const net::Loops& loops, const AgentConfig& config,
                                                       state::StateReader& state, net::BlockingPool& pool,
                                                       const Clock& clock, const net::TlsServer* tls,
                                                       queue::TraceLog* trace);

// LMTP for role store, likewise; forwards wait in FORWARD below the configured directory.
absl::StatusOr<std::unique_ptr<MailServer>> StartStore(const net::Loops& loops, const AgentConfig& config,
                                                       state::StateReader& state, net::BlockingPool& pool,
                                                       const Clock& clock, const net::TlsServer* tls,
                                                       queue::TraceLog* trace);

}  // namespace prov::smtp
