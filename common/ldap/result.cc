#include "common/ldap/result.h"

#include <fmt/format.h>
#include <ldap.h>

#include <algorithm>
#include <iterator>
#include <string>

namespace prov::ldap {
namespace {

// What slapd says when its database has no room: of the change nothing was wrong. An entry that is too big by
// itself has a result code of its own.
constexpr std::string_view kNotStored[] = {"txn_commit failed", "entry store failed", "entry update failed",
                                           "index generation failed"};

absl::StatusCode CodeOf(int code) {
  switch (code) {
    case LDAP_SUCCESS:
      return absl::StatusCode::kOk;
    case LDAP_SERVER_DOWN:
    case LDAP_CONNECT_ERROR:
    case LDAP_BUSY:
    case LDAP_UNAVAILABLE:
      return absl::StatusCode::kUnavailable;
    case LDAP_TIMEOUT:
    case LDAP_TIMELIMIT_EXCEEDED:
      return absl::StatusCode::kDeadlineExceeded;
    case LDAP_NO_SUCH_OBJECT:
      return absl::StatusCode::kNotFound;
    case LDAP_ALREADY_EXISTS:
      return absl::StatusCode::kAlreadyExists;
    // Also what a bind answers where the entry has no password.
    case LDAP_INAPPROPRIATE_AUTH:
    case LDAP_INVALID_CREDENTIALS:
      return absl::StatusCode::kUnauthenticated;
    case LDAP_INSUFFICIENT_ACCESS:
    case LDAP_STRONG_AUTH_REQUIRED:
    case LDAP_CONFIDENTIALITY_REQUIRED:
      return absl::StatusCode::kPermissionDenied;
    case LDAP_UNDEFINED_TYPE:
    case LDAP_INAPPROPRIATE_MATCHING:
    case LDAP_CONSTRAINT_VIOLATION:
    case LDAP_TYPE_OR_VALUE_EXISTS:
    case LDAP_INVALID_SYNTAX:
    case LDAP_INVALID_DN_SYNTAX:
    case LDAP_NAMING_VIOLATION:
    case LDAP_OBJECT_CLASS_VIOLATION:
    case LDAP_NO_OBJECT_CLASS_MODS:
    case LDAP_FILTER_ERROR:
    case LDAP_PARAM_ERROR:
      return absl::StatusCode::kInvalidArgument;
    case LDAP_NOT_ALLOWED_ON_NONLEAF:
    case LDAP_NOT_ALLOWED_ON_RDN:
      return absl::StatusCode::kFailedPrecondition;
    case LDAP_SIZELIMIT_EXCEEDED:
      return absl::StatusCode::kOutOfRange;
    // A modification of a value that is no longer there: somebody else was quicker. RFC 5805 transactions
    // that the server gave up, too.
    case LDAP_NO_SUCH_ATTRIBUTE:
    case LDAP_ASSERTION_FAILED:
    case LDAP_TXN_ID_INVALID:
      return absl::StatusCode::kAborted;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status ResultStatus(int code, std::string_view context, std::string_view diagnostic) {
  if (code == LDAP_SUCCESS) return absl::OkStatus();
  if (code == LDAP_OTHER &&
      std::find(std::begin(kNotStored), std::end(kNotStored), diagnostic) != std::end(kNotStored)) {
    return absl::ResourceExhaustedError(
        fmt::format("{}: the server cannot store it; is its disk full, or olcDbMaxSize reached? ({})",
                    context, diagnostic));
  }
  std::string text = fmt::format("{}: {}", context, ldap_err2string(code));
  if (!diagnostic.empty()) text += fmt::format(" ({})", diagnostic);
  return absl::Status(CodeOf(code), text);
}

}  // namespace prov::ldap
