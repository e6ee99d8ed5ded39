// Who is at the other end of a connection.
#pragma once

#include <asio/ip/address.hpp>
#include <cstdint>
#include <string>

namespace prov::net {

struct Peer {
  std::string address;  // "192.0.2.1", "2001:db8::1"; an IPv4 address mapped into IPv6 is given as IPv4
  uint16_t port = 0;
};

// As Peer gives it.
std::string AddressText(const asio::ip::address& address);

}  // namespace prov::net
