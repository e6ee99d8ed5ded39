// A connection to a next hop, with what its client knows of it.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "agents/mail/net/connection.h"
#include "agents/mail/net/tls_party.h"
#include "agents/mail/smtp/client_machine.h"

namespace prov::smtp {

struct ClientConnection {
  std::string endpoint;                         // host:port
  std::unique_ptr<net::TlsParty> tls;           // null: not even where it is offered
  std::unique_ptr<net::Connection> connection;  // uses `tls`
  std::unique_ptr<ClientMachine> machine;       // null before the first message
  size_t messages = 0;                          // that it has carried
  std::chrono::steady_clock::time_point opened, idle_since;
};

}  // namespace prov::smtp
