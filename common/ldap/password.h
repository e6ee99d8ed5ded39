// The request of RFC 3062 as octets, for who answers it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace prov::ldap {

constexpr char kPasswordModifyOid[] = "1.3.6.1.4.1.4203.1.11.1";

// RFC 3062 section 2: PasswdModifyRequestValue. The caller wipes it.
struct PasswordModify {
  std::optional<std::string> identity, old_password, new_password;
};

// INVALID_ARGUMENT unless `octets` are the BER of one, and no more.
absl::StatusOr<PasswordModify> ParsePasswordModify(std::string_view octets);

}  // namespace prov::ldap
