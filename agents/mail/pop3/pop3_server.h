// The POP3 server of a store host.
#pragma once

#include <asio/any_io_executor.hpp>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/config.h"
#include "agents/mail/auth/authenticator.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/pop3/session_limits.h"

namespace prov::pop3 {

// Belongs to one event loop, but for sessions() and ports(). Sessions refer to the server: destroy it when
// sessions() is 0. The authenticator and the pool outlive it, and the loop outlives them.
class Pop3Server {
 public:
  // Listens on [engine.pop3] and serves [store] with the credentials of `authenticator`. UNAVAILABLE when an
  // address cannot be had.
  static absl::StatusOr<std::unique_ptr<Pop3Server>> Start(const asio::any_io_executor& executor,
                                                           const AgentConfig& config,
                                                           net::BlockingPool& blocking,
                                                           auth::Authenticator& authenticator,
                                                           SessionTimes times = {});
  virtual ~Pop3Server() = default;

  // Accepts no more; sessions between two commands end, without removing anything.
  virtual void Stop() = 0;
  // Ends those that are left.
  virtual void CloseAll() = 0;
  virtual size_t sessions() const = 0;
  // In the order of the configuration.
  virtual std::vector<uint16_t> ports() const = 0;
};

}  // namespace prov::pop3
