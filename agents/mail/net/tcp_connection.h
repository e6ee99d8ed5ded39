// A Connection over TCP.
#pragma once

#include <asio/ip/tcp.hpp>
#include <memory>

#include "agents/mail/net/connection.h"

namespace prov::net {

// `socket` must be connected. `peer`: who is really there.
std::unique_ptr<Connection> MakeTcpConnection(asio::ip::tcp::socket socket, Peer peer);

// Who is at the other end of the socket; empty when it is gone already, which shows at the first read.
Peer RemoteOf(const asio::ip::tcp::socket& socket);

}  // namespace prov::net
