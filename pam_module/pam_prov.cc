// pam_prov.so: authenticates against the directory (auth) and checks entitlement by PAM service (account).
// Man page: docs/man/pam_prov.8.
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <string.h>
#include <syslog.h>

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "pam_module/config.h"
#include "pam_module/directory_login.h"

namespace prov::pam {
namespace {

constexpr char kDefaultConfig[] = "/etc/prov/pam_prov.toml";
constexpr std::string_view kConfigArgument = "config=";
constexpr char kFoundData[] = "pam_prov_found";
constexpr size_t kMaxLoginOctets = 254;
constexpr size_t kMaxPasswordOctets = 1024;

// A secret's copy, wiped when it goes.
struct Wiped {
  std::string text;
  ~Wiped() { explicit_bzero(text.data(), text.size()); }
};

std::string ConfigPath(int argc, const char** argv) {
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kConfigArgument)) return std::string(argument.substr(kConfigArgument.size()));
  }
  return kDefaultConfig;
}

const char* StandingName(Standing standing) {
  switch (standing) {
    case Standing::kAllowed:
      return "allowed";
    case Standing::kNoName:
      return "no login name";
    case Standing::kUnknown:
      return "unknown";
    case Standing::kWrong:
      return "wrong password";
    case Standing::kSuspended:
      return "suspended";
    case Standing::kNotEntitled:
      return "not entitled";
    case Standing::kUnavailable:
      return "directory unavailable";
  }
  return "unknown";
}

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

struct Names {
  std::string service;
  std::string login;
};

int GetNames(pam_handle_t* pam, Names& names) {
  const char* login = nullptr;
  if (const int code = pam_get_user(pam, &login, nullptr); code != PAM_SUCCESS) return code;
  const void* service = nullptr;
  if (const int code = pam_get_item(pam, PAM_SERVICE, &service); code != PAM_SUCCESS) return code;
  if (login == nullptr || service == nullptr) return PAM_USER_UNKNOWN;
  if (strnlen(login, kMaxLoginOctets + 1) > kMaxLoginOctets) return PAM_USER_UNKNOWN;
  names.login = login;
  names.service = static_cast<const char*>(service);
  return PAM_SUCCESS;
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

void Tell(pam_handle_t* pam, const Names& names, const LoginResult& result) {
  if (result.standing == Standing::kAllowed) return;
  const int priority = result.standing == Standing::kUnavailable ? LOG_ERR : LOG_NOTICE;
  pam_syslog(pam, priority, "%s for service %s%s%s", StandingName(result.standing), names.service.c_str(),
             result.cause.empty() ? "" : ": ", result.cause.c_str());
}

int Authenticate(pam_handle_t* pam, int argc, const char** argv) {
  Names names;
  if (const int code = GetNames(pam, names); code != PAM_SUCCESS) return code;
  const char* typed = nullptr;
  if (const int code = pam_get_authtok(pam, PAM_AUTHTOK, &typed, nullptr); code != PAM_SUCCESS) {
    // Of all that may go wrong while asking, only a broken conversation is not this login's fault.
    return code == PAM_CONV_ERR ? PAM_CONV_ERR : PAM_AUTH_ERR;
  }
  if (typed == nullptr || strnlen(typed, kMaxPasswordOctets + 1) > kMaxPasswordOctets) return PAM_AUTH_ERR;
  const absl::StatusOr<Config> config = LoadConfig(ConfigPath(argc, argv));
  if (!config.ok()) {
    pam_syslog(pam, LOG_ERR, "%s", std::string(config.status().message()).c_str());
    return PAM_AUTHINFO_UNAVAIL;
  }
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
  const absl::StatusOr<Config> config = LoadConfig(ConfigPath(argc, argv));
  if (!config.ok()) {
    pam_syslog(pam, LOG_ERR, "%s", std::string(config.status().message()).c_str());
    return PAM_AUTHINFO_UNAVAIL;
  }
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

// Passwords are changed through provd; the directory is only its copy.
PROV_PAM_EXPORT int pam_sm_chauthtok(pam_handle_t*, int, int, const char**) { return PAM_AUTHTOK_ERR; }
