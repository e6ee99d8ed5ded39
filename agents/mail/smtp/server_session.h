// One SMTP or LMTP session: drives a ServerMachine over a Connection, and asks a Handler.
#pragma once

#include <asio/awaitable.hpp>
#include <chrono>
#include <memory>

#include "agents/mail/net/connection.h"
#include "agents/mail/smtp/handler.h"
#include "agents/mail/smtp/server_machine.h"

namespace prov::smtp {

struct SessionTimes {
  // For each command, however many octets at a time it comes in; for each read of a message and each step of
  // a write.
  std::chrono::milliseconds idle = std::chrono::seconds(300);
  std::chrono::milliseconds slow_reply = std::chrono::seconds(1);  // after many errors
  // Before the greeting; 0: a client that speaks early has spoken by now, and nobody waits.
  std::chrono::milliseconds greeting_delay{0};
};

struct SessionOptions {
  ServerOptions machine;
  net::SessionTls tls;
  SessionTimes times;
};

// Until the session is over. `connection` is closed then.
asio::awaitable<void> ServeSession(std::unique_ptr<net::Connection> connection, SessionOptions options,
                                   std::unique_ptr<Handler> handler);

}  // namespace prov::smtp
