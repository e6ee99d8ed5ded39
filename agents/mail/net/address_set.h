// A set of IP addresses and networks, as configuration writes them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace prov::net {

class AddressSet {
 public:
  AddressSet() = default;

  // Each "192.0.2.1", "192.0.2.0/24", "2001:db8::/32". INVALID_ARGUMENT names the one that is none.
  static absl::StatusOr<AddressSet> Parse(const std::vector<std::string>& entries);

  // False for what is no address.
  bool Contains(std::string_view address) const;

 private:
  struct Network {
    std::vector<unsigned char> octets;  // 4 or 16
    int bits = 0;
  };
  std::vector<Network> networks_;
};

}  // namespace prov::net
