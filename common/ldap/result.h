// LDAP result codes (RFC 4511 appendix A, and libldap's own below zero) as absl::Status.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace prov::ldap {

// "context: what the code means (the server's words)". Retry may help with UNAVAILABLE, DEADLINE_EXCEEDED and
// ABORTED. INVALID_ARGUMENT, ALREADY_EXISTS, NOT_FOUND and FAILED_PRECONDITION are about the one record; so
// they are for good until the record or the schema changes. UNAUTHENTICATED: the password is wrong, or there
// is none. OUT_OF_RANGE: more entries than asked for. RESOURCE_EXHAUSTED: the server cannot store anything
// now.
absl::Status ResultStatus(int code, std::string_view context, std::string_view diagnostic);

}  // namespace prov::ldap
