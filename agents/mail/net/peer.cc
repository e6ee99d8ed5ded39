#include "agents/mail/net/peer.h"

#include <asio/ip/address_v4.hpp>

namespace prov::net {

std::string AddressText(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  }
  return address.to_string();
}

}  // namespace prov::net
