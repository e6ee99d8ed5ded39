// One session of the POP3 proxy.
#pragma once

#include <asio/awaitable.hpp>
#include <memory>
#include <string>

#include "agents/mail/auth/failure_delay.h"
#include "agents/mail/net/connection.h"
#include "agents/mail/net/tls_use.h"
#include "agents/mail/pop3/back_end_login.h"
#include "agents/mail/pop3/limits.h"
#include "agents/mail/pop3/store_choice.h"

namespace prov::pop3 {

struct ProxyContext {
  std::string hostname;  // in the greeting
  SessionTimes times;
  net::SessionTls tls;
  StoreChoice stores;
  BackEnds back_ends;
  auth::FailureDelay& delay;
};

// `context` must outlive it.
asio::awaitable<void> ServeProxySession(std::unique_ptr<net::Connection> client, ProxyContext& context);

}  // namespace prov::pop3
