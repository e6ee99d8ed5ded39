// Drives a ClientMachine over a Connection.
#pragma once

#include <asio/awaitable.hpp>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "agents/mail/net/connection.h"
#include "agents/mail/smtp/client_machine.h"

namespace prov::smtp {

// The message's next piece, CRLF text; empty at the end. After an error the connection is dropped, so that
// the server does not take half a message for a whole one.
using ContentSource = std::function<asio::awaitable<absl::StatusOr<std::string>>()>;

// Until the machine is done with its message; its replies say what became of each recipient. All must outlive
// the call, and `tls`, which may be null where the machine asks for none, the connection.
asio::awaitable<void> RunClient(net::Connection& connection, ClientMachine& machine,
                                const ContentSource& content, const net::TlsParty* tls);

}  // namespace prov::smtp
