// A subscriber's wish for another password, as slapd hands it over and is answered (slapd-sock(5), RFC 3062).
// Pure. docs/decisions/0024-password-change.md
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::directory {

// A request that is longer is none: names and passwords have far less.
constexpr size_t kMaxPasswordRequestOctets = 8192;

// The caller wipes the passwords.
struct PasswordRequest {
  std::string login;  // of who is bound, and whose password it is
  std::string peer;   // as slapd names the client
  std::string old_password, new_password;
};

// `text` is all that slapd sent, up to the blank line. PERMISSION_DENIED: for somebody else, or by nobody of
// ours; FAILED_PRECONDITION: not all that we want to know; INVALID_ARGUMENT: it is not that operation, or
// malformed. Errors hold nothing of the request.
absl::StatusOr<PasswordRequest> ParsePasswordRequest(std::string_view text, const std::string& base);

// What slapd gives to its client, all behind the colon included: a result code of RFC 4511 appendix A, and
// the status' message in one line. Of errors that are not the client's business the message stays here.
std::string PasswordReply(const absl::Status& status);

}  // namespace prov::directory
