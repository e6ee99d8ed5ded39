// One session of the POP3 proxy.
#pragma once

#include <asio/awaitable.hpp>
#include <memory>
#include <string>

#include "agents/mail/auth/failure_delay.h"
#include "agents/mail/net/connection.h"
#include "agents/mail/pop3/back_ends.h"
#include "agents/mail/pop3/session_limits.h"
#include "agents/state/reader.h"
#include "common/clock.h"

namespace prov::pop3 {

struct ProxyContext {
  std::string hostname;  // in the greeting
  state::StateReader& state;
  const Clock& clock;
  SessionTimes times;
  BackEnds back_ends;
  auth::FailureDelay failure_delay;
};

// `context` must outlive it.
asio::awaitable<void> ServeProxySession(std::unique_ptr<net::Connection> client, ProxyContext& context);

}  // namespace prov::pop3
