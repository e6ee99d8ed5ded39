#include "pam_module/pam_password.h"

#include <security/pam_ext.h>
#include <syslog.h>

#include <optional>
#include <string>

#include "pam_module/directory_login.h"
#include "pam_module/login_name.h"
#include "pam_module/pam_caller.h"
#include "pam_module/password_change.h"

namespace prov::pam {
namespace {

constexpr char kNeedsOld[] =
    "The current password is needed, of root too. Without it an operator uses: provctl set-password";
constexpr char kNotOffered[] = "Passwords cannot be changed here. An operator uses: provctl set-password";
constexpr char kNotNow[] = "The password cannot be changed now. Try again later.";
constexpr char kUncertain[] = "It is not known whether the password was changed. Try both.";
constexpr char kSame[] = "The new password is the current one.";
constexpr char kTooLong[] = "The new password is too long.";

void TellUser(pam_handle_t* pam, int flags, const char* words) {
  if ((flags & PAM_SILENT) == 0) pam_error(pam, "%s", words);
}

// Nothing is changed yet: whether it could be, and whether the old password is right.
int Prepare(pam_handle_t* pam, int flags, const Config& config, const Names& names) {
  const char* typed = nullptr;
  const int code = pam_get_authtok(pam, PAM_OLDAUTHTOK, &typed, nullptr);
  if (code == PAM_CONV_ERR) return code;
  if (code != PAM_SUCCESS || typed == nullptr || *typed == '\0') {
    TellUser(pam, flags, kNeedsOld);
    return PAM_AUTHTOK_RECOVERY_ERR;
  }
  if (strnlen(typed, kMaxPasswordOctets + 1) > kMaxPasswordOctets) return PAM_AUTH_ERR;
  const Wiped password{typed};
  // A right to the service that asks is not needed: its password is everybody's own.
  const LoginResult result = LogIn(config, names.service, names.login, password.text);
  if (result.verified) return PAM_SUCCESS;
  const bool unavailable = result.standing == Standing::kUnavailable;
  pam_syslog(pam, unavailable ? LOG_ERR : LOG_NOTICE, "password of %s is not changed: %s%s",
             names.login.c_str(), StandingName(result.standing),
             result.cause.empty() ? "" : (": " + result.cause).c_str());
  if (!unavailable) return PAM_AUTH_ERR;
  TellUser(pam, flags, kNotNow);
  return PAM_TRY_AGAIN;
}

// What PAM and the subscriber are told of a change's end.
int Told(pam_handle_t* pam, int flags, const Names& names, const ChangeResult& result) {
  const auto log = [&](int priority, const char* what) {
    pam_syslog(pam, priority, "password of %s %s%s%s", names.login.c_str(), what,
               result.cause.empty() ? "" : ": ", result.cause.c_str());
  };
  switch (result.outcome) {
    case Change::kDone:
      log(LOG_NOTICE, "changed");
      return PAM_SUCCESS;
    case Change::kWrong:
      log(LOG_NOTICE, "is not changed: wrong password");
      return PAM_AUTH_ERR;
    case Change::kRefused:
      log(LOG_NOTICE, "is not changed: the new one was refused");
      TellUser(pam, flags, result.words.empty() ? "The new password was refused." : result.words.c_str());
      return PAM_AUTHTOK_ERR;
    case Change::kNotOffered:
      log(LOG_ERR, "is not changed: no server takes it");
      TellUser(pam, flags, kNotOffered);
      return PAM_AUTHTOK_ERR;
    case Change::kUnavailable:
      log(LOG_ERR, "is not changed");
      TellUser(pam, flags, kNotNow);
      return PAM_TRY_AGAIN;
    case Change::kUncertain:
      log(LOG_ERR, "may have been changed");
      TellUser(pam, flags, kUncertain);
      return PAM_AUTHTOK_ERR;
  }
  return PAM_SYSTEM_ERR;
}

int Update(pam_handle_t* pam, int flags, const Config& config, const Names& names, const std::string& login) {
  const void* old_item = nullptr;
  if (pam_get_item(pam, PAM_OLDAUTHTOK, &old_item) != PAM_SUCCESS || old_item == nullptr)
    return PAM_AUTHTOK_RECOVERY_ERR;
  // Asks twice, unless another module has asked; with the argument use_authtok it asks nobody.
  const char* typed = nullptr;
  if (const int code = pam_get_authtok(pam, PAM_AUTHTOK, &typed, nullptr); code != PAM_SUCCESS) return code;
  if (typed == nullptr || *typed == '\0') return PAM_AUTHTOK_ERR;
  const Wiped old_password{static_cast<const char*>(old_item)};
  if (strnlen(typed, kMaxPasswordOctets + 1) > kMaxPasswordOctets) {
    TellUser(pam, flags, kTooLong);
    return PAM_AUTHTOK_ERR;
  }
  const Wiped new_password{typed};
  if (new_password.text == old_password.text) {
    TellUser(pam, flags, kSame);
    return PAM_AUTHTOK_ERR;
  }
  return Told(pam, flags, names, ChangePassword(config, login, old_password.text, new_password.text));
}

}  // namespace

int ChangePasswordStage(pam_handle_t* pam, int flags, int argc, const char** argv) {
  Names names;
  if (const int code = GetNames(pam, names); code != PAM_SUCCESS) return code;
  const std::optional<std::string> login = LoginName(names.login);
  if (!login.has_value()) return PAM_USER_UNKNOWN;
  // Only what has expired is to be changed, and no password of ours does.
  if ((flags & PAM_CHANGE_EXPIRED_AUTHTOK) != 0) return PAM_SUCCESS;
  const std::optional<Config> config = ConfigFor(pam, argc, argv);
  if (!config.has_value()) return PAM_TRY_AGAIN;
  if ((flags & PAM_PRELIM_CHECK) != 0) return Prepare(pam, flags, *config, names);
  return Update(pam, flags, *config, names, *login);
}

}  // namespace prov::pam
