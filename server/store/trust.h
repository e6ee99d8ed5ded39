// Which certificates of our CA are still believed. No PostgreSQL in this header.
#pragma once

#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"

namespace prov::store {

// What is withdrawn; everything else that our CA signed is believed.
struct Withdrawn {
  std::set<std::string> serials;  // revoked
  // Identities that were cut off, and the serials that they have been given since.
  std::map<std::string, std::set<std::string>> identities;

  // UNAUTHENTICATED with reason CERTIFICATE_REVOKED. `identity` is "role/name", `serial` lower-case
  // hexadecimal. Pure.
  absl::Status Check(const std::string& identity, const std::string& serial) const;
};

// Thread-safe.
class Trust {
 public:
  virtual ~Trust() = default;

  // As Withdrawn::Check, as of a second ago at most while the database is there. Does not block.
  virtual absl::Status Check(const std::string& identity, const std::string& serial) const = 0;
};

}  // namespace prov::store
