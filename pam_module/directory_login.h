// A login against the directory: search as the service, then bind as the subscriber.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pam_module/config.h"

namespace prov::pam {

enum class Standing {
  kAllowed,
  kNoName,       // no name that a login can be; nobody was asked
  kUnknown,      // no such login
  kWrong,        // the directory refused the password
  kSuspended,    // provLoginState says so
  kNotEntitled,  // authorizedService does not name the PAM service
  kUnavailable,  // no server answered in time
};

// For the log.
const char* StandingName(Standing standing);

struct LoginResult {
  Standing standing = Standing::kUnavailable;
  bool verified = false;           // the password is right, whatever else stands in the way
  std::string credential_version;  // of the entry; empty when it was not found
  std::string cause;               // for the log; holds no secret
};

// Takes no longer than config.timeout. Thread-safe; remembers for the process which servers are dead. A
// refusal takes as long for an unknown login as for a wrong password: the directory verifies one hash in
// every case.
LoginResult LogIn(const Config& config, std::string_view service, std::string_view login,
                  const std::string& password);

// The same without a password: may the subscriber use the service now?
LoginResult CheckAccount(const Config& config, std::string_view service, std::string_view login);

}  // namespace prov::pam
