#include "pam_module/pam_caller.h"

#include <security/pam_ext.h>
#include <syslog.h>

#include <string_view>

namespace prov::pam {
namespace {

constexpr char kDefaultConfig[] = "/etc/prov/pam_prov.toml";
constexpr std::string_view kConfigArgument = "config=";

std::string ConfigPath(int argc, const char** argv) {
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kConfigArgument)) return std::string(argument.substr(kConfigArgument.size()));
  }
  return kDefaultConfig;
}

}  // namespace

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

std::optional<Config> ConfigFor(pam_handle_t* pam, int argc, const char** argv) {
  absl::StatusOr<Config> config = LoadConfig(ConfigPath(argc, argv));
  if (config.ok()) return *std::move(config);
  pam_syslog(pam, LOG_ERR, "%s", std::string(config.status().message()).c_str());
  return std::nullopt;
}

}  // namespace prov::pam
