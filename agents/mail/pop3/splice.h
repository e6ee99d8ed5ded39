// Octets both ways between two connections, until one of them ends.
#pragma once

#include <asio/awaitable.hpp>
#include <chrono>
#include <cstdint>

#include "agents/mail/net/connection.h"

namespace prov::pop3 {

struct Spliced {
  uint64_t to_first = 0, to_second = 0;  // octets
};

// What one side sent before it ended has been written to the other. Both are closed when neither has sent
// anything for `idle`, or one does not take a piece within `write`. Both are closed when it returns.
asio::awaitable<Spliced> Splice(net::Connection& first, net::Connection& second,
                                std::chrono::milliseconds idle, std::chrono::milliseconds write);

}  // namespace prov::pop3
