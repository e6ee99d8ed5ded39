// The handshake of a server's session.
#pragma once

#include <asio/awaitable.hpp>

#include "absl/status/status.h"
#include "agents/mail/net/connection.h"
#include "agents/mail/net/tls_use.h"

namespace prov::net {

// As Connection::StartTls. A failure is logged as `tls_failed`, with `protocol` and the client.
asio::awaitable<absl::Status> StartSessionTls(Connection& connection, SessionTls tls, const char* protocol);

}  // namespace prov::net
