#include "pam_module/config.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/config.h"
#include "common/file.h"
#include "common/ldap/connection.h"
#include "common/status.h"

namespace prov::pam {
namespace {

constexpr size_t kMaxPasswordOctets = 1024;
constexpr size_t kMaxServers = 16;

}  // namespace

absl::StatusOr<Config> LoadConfig(const std::string& path) {
  PROV_ASSIGN_OR_RETURN(ConfigReader reader, ConfigReader::Load(path));
  Config config;
  config.uris = reader.Strings("uri");
  config.base = reader.RequiredString("base");
  config.bind_dn = reader.RequiredString("bind_dn");
  const std::string password_file = reader.RequiredPath("bind_password_file");
  config.ca = reader.Path("ca", "");
  config.starttls = reader.Bool("starttls", false);
  config.timeout = reader.Duration("timeout", std::chrono::seconds(3));
  config.dead_for = reader.Duration("dead_for", std::chrono::seconds(30));
  PROV_RETURN_IF_ERROR(reader.Finish());
  if (config.uris.empty() || config.uris.size() > kMaxServers) {
    return absl::InvalidArgumentError(fmt::format("{}: uri must list one to {} servers", path, kMaxServers));
  }
  if (config.timeout < std::chrono::milliseconds(100)) {
    return absl::InvalidArgumentError(fmt::format("{}: timeout must be 100ms or more", path));
  }
  for (const std::string& uri : config.uris) {
    ldap::ConnectOptions options;
    options.uri = uri;
    options.starttls = config.starttls && uri.starts_with("ldap://");
    PROV_RETURN_IF_ERROR(Annotate(ldap::CheckConnectOptions(options), path));
  }
  PROV_ASSIGN_OR_RETURN(config.bind_password, ReadFile(password_file, kMaxPasswordOctets));
  config.bind_password.erase(std::min(config.bind_password.find('\n'), config.bind_password.size()));
  return config;
}

}  // namespace prov::pam
