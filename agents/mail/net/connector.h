// Opens connections to others.
#pragma once

#include <asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agents/mail/net/connection.h"

namespace prov::net {

// Tries each address of `host_port` in turn, all within `timeout` (names that the resolver is slow to find
// may take longer). INVALID_ARGUMENT when it is not host:port; DEADLINE_EXCEEDED; UNAVAILABLE.
asio::awaitable<absl::StatusOr<std::unique_ptr<Connection>>> Connect(std::string host_port,
                                                                     std::chrono::milliseconds timeout);

}  // namespace prov::net
