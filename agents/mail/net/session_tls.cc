#include "agents/mail/net/session_tls.h"

#include <asio/use_awaitable.hpp>

#include "common/log.h"

namespace prov::net {

asio::awaitable<absl::Status> StartSessionTls(Connection& connection, SessionTls tls, const char* protocol) {
  absl::Status shaken = co_await connection.StartTls(*tls.party, tls.handshake);
  if (!shaken.ok()) {
    // Scanners do it all day long.
    Log(Level::kInfo, "tls_failed",
        {{"protocol", protocol}, {"client", connection.peer().address}, {"error", shaken}});
  }
  co_return shaken;
}

}  // namespace prov::net
