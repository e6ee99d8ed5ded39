// Addresses of a host within a time: getaddrinfo takes as long as the resolver likes. For this directory
// only.
#pragma once

#include <netdb.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace prov::ldap {

struct AddressesDeleter {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, AddressesDeleter>;

// For TCP. UNAVAILABLE without an answer by `deadline`; the look-up then ends by itself, on a thread of its
// own. Of those that nobody waits for any more there are few, and no new name is looked up beside them.
absl::StatusOr<Addresses> LookUp(const std::string& host, const std::string& port,
                                 std::chrono::steady_clock::time_point deadline);

}  // namespace prov::ldap
