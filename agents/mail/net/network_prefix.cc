#include "agents/mail/net/network_prefix.h"

#include <fmt/format.h>

#include <asio/ip/address.hpp>
#include <asio/ip/network_v4.hpp>
#include <asio/ip/network_v6.hpp>
#include <system_error>

namespace prov::net {

std::string NetworkPrefix(std::string_view address, unsigned v4_bits, unsigned v6_bits) {
  std::error_code error;
  asio::ip::address parsed = asio::ip::make_address(address, error);
  if (error) return std::string(address);
  if (parsed.is_v6() && parsed.to_v6().is_v4_mapped())
    parsed = asio::ip::make_address_v4(asio::ip::v4_mapped, parsed.to_v6());
  if (parsed.is_v4()) {
    return asio::ip::network_v4(parsed.to_v4(), static_cast<unsigned short>(v4_bits)).canonical().to_string();
  }
  return asio::ip::network_v6(parsed.to_v6(), static_cast<unsigned short>(v6_bits)).canonical().to_string();
}

}  // namespace prov::net
