// Mail addresses and domains in the one form that all programs compare: RFC 5321 section 4.1.2, lower case.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace prov {

constexpr size_t kMaxLocalPartOctets = 64;  // RFC 5321 section 4.5.3.1.1
constexpr size_t kMaxDomainOctets = 253;    // RFC 1035 section 2.3.4, without the root
constexpr size_t kMaxAddressOctets = 254;   // RFC 5321 section 4.5.3.1.3, without the angle brackets

struct MailAddress {
  std::string local_part;
  std::string domain;

  std::string ToString() const { return local_part + "@" + domain; }
  bool operator==(const MailAddress&) const = default;
};

// A domain as A-labels in lower case (RFC 5890; IDNA 2008 through libidn2). Needs two labels or more, no
// trailing dot, no address literal. INVALID_ARGUMENT says which rule is broken.
absl::StatusOr<std::string> NormaliseDomain(std::string_view domain);

// An address we are willing to host or to forward to: the local part is a dot-atom of ASCII atext
// (RFC 5322 section 3.2.3) without `%`, `!`, `|`, `/`, `*`, and is folded to lower case; the domain as above.
// Quoted local parts are refused.
absl::StatusOr<MailAddress> ParseHostedAddress(std::string_view address);

// Folds an address seen on the wire for a look-up: lower case throughout. Never fails; what is no address
// is simply not found.
std::string FoldAddress(std::string_view address);

}  // namespace prov
