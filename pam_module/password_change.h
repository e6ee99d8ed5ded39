// A subscriber changes their own password, through the directory's operation (RFC 3062).
//
// docs/decisions/0024-password-change.md says who does the change, and why the directory alone does not.
#pragma once

#include <string>
#include <string_view>

#include "pam_module/config.h"

namespace prov::pam {

enum class Change {
  kDone,
  kWrong,        // the directory refused the old password
  kRefused,      // the new password is not good enough; `words` say why
  kNotOffered,   // no server changes passwords
  kUnavailable,  // no server answered in time; nothing was changed
  kUncertain,    // it was asked for, and no answer came
};

struct ChangeResult {
  Change outcome = Change::kUnavailable;
  std::string words;  // the directory's, for the subscriber
  std::string cause;  // for the log; holds no secret
};

// `login` is of LoginName. Takes no longer than config.timeout; with time left it waits until the server
// knows the new password. Passwords are not empty, and without NUL. Thread-safe.
ChangeResult ChangePassword(const Config& config, std::string_view login, const std::string& old_password,
                            const std::string& new_password);

}  // namespace prov::pam
