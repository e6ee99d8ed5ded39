// The network that a client's address lies in, for counting what comes from it.
#pragma once

#include <string>
#include <string_view>

namespace prov::net {

// "192.0.2.0/24", "2001:db8::/48". An IPv4 address mapped into IPv6 is taken as IPv4; what is no address
// stays as it is.
std::string NetworkPrefix(std::string_view address, unsigned v4_bits, unsigned v6_bits);

}  // namespace prov::net
