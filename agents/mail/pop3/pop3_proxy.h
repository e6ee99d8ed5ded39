// The POP3 proxy: takes the login, finds the store host that serves it, logs in there with the same
// credentials, and hands octets on.
#pragma once

#include <asio/any_io_executor.hpp>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/config.h"
#include "agents/mail/pop3/session_limits.h"
#include "agents/state/reader.h"
#include "common/clock.h"

namespace prov::pop3 {

// Belongs to one event loop, but for sessions() and ports(). Sessions refer to the proxy: destroy it when
// sessions() is 0, before `state` and the loop.
class Pop3Proxy {
 public:
  // Listens on [engine.pop3_proxy]. UNAVAILABLE when an address cannot be had.
  static absl::StatusOr<std::unique_ptr<Pop3Proxy>> Start(const asio::any_io_executor& executor,
                                                          const AgentConfig& config,
                                                          state::StateReader& state,
                                                          const Clock& clock = SystemClock(),
                                                          SessionTimes times = {});
  virtual ~Pop3Proxy() = default;

  // Accepts no more; sessions that have not logged in end. Others go on.
  virtual void Stop() = 0;
  // Ends those that are left.
  virtual void CloseAll() = 0;
  virtual size_t sessions() const = 0;
  // In the order of the configuration.
  virtual std::vector<uint16_t> ports() const = 0;
};

}  // namespace prov::pop3
