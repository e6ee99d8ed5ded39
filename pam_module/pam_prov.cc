// pam_prov.so: authenticates against the directory (auth), checks entitlement by PAM service (account), and
// changes a subscriber's password (password).
// Man page: docs/man/pam_prov.8.
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <string.h>
#include <syslog.h>

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "pam_module/config.h"
#include "pam_module/directory_login.h"
#include "pam_module/login_name.h"
#include "pam_module/pam_caller.h"
#include "pam_module/pam_password.h"

namespace prov::pam {
namespace {

constexpr char kFoundData[] = "pam_prov_found";

// What authentication tells. An unknown login, a wrong password, a suspended subscriber and one without the
// right to the service are one and the same to who tries; the account stage and the log say more.
int AuthCode(Standing standing) {
  switch (standing) {
    case Standing::kAllowed:
      return PAM_SUCCESS;
    case Standing::kNoName:
      return PAM_USER_UNKNOWN;
    case Standing::kUnavailable:
      return PAM_AUTHINFO_UNAVAIL;
    default:
      return PAM_AUTH_ERR;
  }
}

int AccountCode(Standing standing) {
  switch (standing) {
    case Standing::kAllowed:
      return PAM_SUCCESS;
    case Standing::kSuspended:
      return PAM_ACCT_EXPIRED;
    case Standing::kNotEntitled:
      return PAM_PERM_DENIED;
    case Standing::kUnavailable:
      return PAM_AUTHINFO_UNAVAIL;
    default:
      return PAM_USER_UNKNOWN;
  }
}

// What authentication found, for the account stage, so that the directory is asked once for a login.
struct Found {
  Names names;
  Standing standing;
  std::chrono::steady_clock::time_point time;
};
constexpr std::chrono::seconds kFoundLasts{5};

void ReleaseFound(pam_handle_t*, void* data, int) { delete static_cast<Found*>(data); }

// Not that of another name: the program may change it in between.
const Found* FoundBefore(pam_handle_t* pam, const Names& names) {
  const void* data = nullptr;
  if (pam_get_data(pam, kFoundData, &data) != PAM_SUCCESS || data == nullptr) return nullptr;
  const auto* found = static_cast<const Found*>(data);
  const bool same = found->names.service == names.service && found->names.login == names.login;
  return same && std::chrono::steady_clock::now() - found->time < kFoundLasts ? found : nullptr;
}

// Where the client is, as the program says; it may be a name that the client's own DNS has made up.
std::string RemoteHost(pam_handle_t* pam) {
  constexpr size_t kMaxOctets = 64;
  const void* item = nullptr;
  if (pam_get_item(pam, PAM_RHOST, &item) != PAM_SUCCESS || item == nullptr) return "?";
  std::string host(static_cast<const char*>(item), strnlen(static_cast<const char*>(item), kMaxOctets));
  for (char& c : host) {
    if (std::string_view("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.:-%").find(c) ==
        std::string_view::npos) {
      c = '?';
    }
  }
  return host;
}

// A name that is no login may be a password that was typed into the wrong field.
void Tell(pam_handle_t* pam, const Names& names, const LoginResult& result) {
  if (result.standing == Standing::kAllowed) return;
  const int priority = result.standing == Standing::kUnavailable ? LOG_ERR : LOG_NOTICE;
  pam_syslog(pam, priority, "%s for service %s, login %s, from %s%s%s", StandingName(result.standing),
             names.service.c_str(), LoginName(names.login).value_or("(not shown)").c_str(),
             RemoteHost(pam).c_str(), result.cause.empty() ? "" : ": ", result.cause.c_str());
}

int Authenticate(pam_handle_t* pam, int argc, const char** argv) {
  Names names;
  if (const int code = GetNames(pam, names); code != PAM_SUCCESS) return code;
  const char* typed = nullptr;
  if (const int code = pam_get_authtok(pam, PAM_AUTHTOK, &typed, nullptr); code != PAM_SUCCESS) {
    // Of all that may go wrong while asking, only a broken conversation is not this login's fault. libpam
    // says PAM_AUTHTOK_ERR of it, whatever the program said.
    return code == PAM_AUTHTOK_ERR ? PAM_CONV_ERR : PAM_AUTH_ERR;
  }
  if (typed == nullptr || strnlen(typed, kMaxPasswordOctets + 1) > kMaxPasswordOctets) return PAM_AUTH_ERR;
  const std::optional<Config> config = ConfigFor(pam, argc, argv);
  if (!config.has_value()) return PAM_AUTHINFO_UNAVAIL;
  Wiped password{typed};
  const LoginResult result = LogIn(*config, names.service, names.login, password.text);
  Tell(pam, names, result);
  auto found = std::make_unique<Found>(Found{names, result.standing, std::chrono::steady_clock::now()});
  if (pam_set_data(pam, kFoundData, found.get(), ReleaseFound) == PAM_SUCCESS) found.release();
  if (result.standing == Standing::kAllowed && !result.credential_version.empty()) {
    pam_putenv(pam, ("PROV_CREDENTIAL_VERSION=" + result.credential_version).c_str());
  }
  return AuthCode(result.standing);
}

int CheckAccountStage(pam_handle_t* pam, int argc, const char** argv) {
  Names names;
  if (const int code = GetNames(pam, names); code != PAM_SUCCESS) return code;
  if (const Found* found = FoundBefore(pam, names)) return AccountCode(found->standing);
  // Whoever authenticated otherwise (a key, another module) is looked up now.
  const std::optional<Config> config = ConfigFor(pam, argc, argv);
  if (!config.has_value()) return PAM_AUTHINFO_UNAVAIL;
  const LoginResult result = CheckAccount(*config, names.service, names.login);
  Tell(pam, names, result);
  return AccountCode(result.standing);
}

// No exception may pass into the program that called PAM.
template <typename Stage>
int Guarded(pam_handle_t* pam, Stage stage) {
  try {
    return stage();
  } catch (const std::exception& error) {
    pam_syslog(pam, LOG_ERR, "failed: %s", error.what());
    return PAM_SYSTEM_ERR;
  }
}

}  // namespace
}  // namespace prov::pam

#define PROV_PAM_EXPORT extern "C" __attribute__((visibility("default")))

PROV_PAM_EXPORT int pam_sm_authenticate(pam_handle_t* pam, int, int argc, const char** argv) {
  return prov::pam::Guarded(pam, [&] { return prov::pam::Authenticate(pam, argc, argv); });
}

PROV_PAM_EXPORT int pam_sm_setcred(pam_handle_t*, int, int, const char**) { return PAM_SUCCESS; }

PROV_PAM_EXPORT int pam_sm_acct_mgmt(pam_handle_t* pam, int, int argc, const char** argv) {
  return prov::pam::Guarded(pam, [&] { return prov::pam::CheckAccountStage(pam, argc, argv); });
}

PROV_PAM_EXPORT int pam_sm_chauthtok(pam_handle_t* pam, int flags, int argc, const char** argv) {
  return prov::pam::Guarded(pam, [&] { return prov::pam::ChangePasswordStage(pam, flags, argc, argv); });
}

// Nothing is to be done at either, and whoever names the module there is not to be refused for it.
PROV_PAM_EXPORT int pam_sm_open_session(pam_handle_t*, int, int, const char**) { return PAM_SUCCESS; }
PROV_PAM_EXPORT int pam_sm_close_session(pam_handle_t*, int, int, const char**) { return PAM_SUCCESS; }
