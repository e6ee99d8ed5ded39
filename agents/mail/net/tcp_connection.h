// A Connection over TCP. TLS will wrap the socket here, unseen by sessions.
#pragma once

#include <asio/ip/tcp.hpp>
#include <memory>

#include "agents/mail/net/connection.h"

namespace prov::net {

// `socket` must be connected.
std::unique_ptr<Connection> MakeTcpConnection(asio::ip::tcp::socket socket);

// As Peer gives it.
std::string AddressText(const asio::ip::address& address);

}  // namespace prov::net
