#include "server/config.h"

#include <fmt/format.h>

#include <utility>

#include "common/config.h"
#include "common/status.h"

namespace prov {
namespace {

// Calls a second for one caller. An operator must never be locked out by a script of their own; a helpdesk is
// people. Billing is left room for the night's run.
constexpr std::pair<const char*, int64_t> kUsualLimits[] = {
    {"operator", 0}, {"billing", 1000}, {"helpdesk", 20}, {"auditor", 50}, {"agent", 5},
};
// As server/enrol/authority.h has it.
constexpr std::chrono::seconds kLeastLifetime(10);
constexpr std::chrono::minutes kLeastKeptChanges(10);
constexpr std::chrono::hours kMostLifetime(3650 * 24);
constexpr int64_t kMostPerSecond = 1'000'000;

}  // namespace

absl::StatusOr<ProvdConfig> LoadProvdConfig(const std::string& path) {
  PROV_ASSIGN_OR_RETURN(ConfigReader reader, ConfigReader::Load(path));
  ProvdConfig config;
  config.listen = reader.String("listen", "[::]:7443");
  config.metrics = reader.String("metrics", "");
  config.log_level = reader.String("log_level", "info");
  config.tls.ca = reader.Path("tls.ca", "/etc/prov/ca.pem");
  config.tls.certificate = reader.Path("tls.certificate", "/etc/prov/provd.pem");
  config.tls.key = reader.Path("tls.key", "/etc/prov/provd.key");
  config.enrolment.ca_directory = reader.Path("enrolment.ca_directory", "");
  config.enrolment.listen = reader.String("enrolment.listen", "[::]:7444");
  config.enrolment.host_lifetime = reader.Duration("enrolment.host_lifetime", std::chrono::hours(30 * 24));
  config.enrolment.caller_lifetime =
      reader.Duration("enrolment.caller_lifetime", std::chrono::hours(90 * 24));
  for (const auto& [role, usual] : kUsualLimits) {
    config.limits.per_second[role] = reader.Int(std::string("limits.") + role, usual, 0, kMostPerSecond);
  }
  config.limits.burst = reader.Duration("limits.burst", std::chrono::seconds(5));
  config.postgres.connection = reader.RequiredString("postgres.connection");
  config.postgres.connections = static_cast<size_t>(reader.Int("postgres.connections", 16, 2, 512));
  config.directory.uri = reader.RequiredString("directory.uri");
  config.directory.base = reader.RequiredString("directory.base");
  config.directory.bind_dn = reader.RequiredString("directory.bind_dn");
  config.directory.password_file = reader.RequiredPath("directory.password_file");
  config.directory.ca = reader.Path("directory.ca", "");
  config.directory.starttls = reader.Bool("directory.starttls", false);
  config.directory.password_socket = reader.Path("directory.password_socket", "");
  config.directory.home_prefix = reader.String("directory.home_prefix", "/srv/prov/homes");
  config.directory.most_removals =
      static_cast<size_t>(reader.Int("directory.most_removals", 100, 0, 1'000'000'000));
  directory::Services& services = config.directory.services;
  services.login = reader.Strings("directory.services.login", services.login);
  services.submit = reader.Strings("directory.services.submit", services.submit);
  services.ftp = reader.Strings("directory.services.ftp", services.ftp);
  services.web = reader.Strings("directory.services.web", services.web);
  config.undelete = reader.Duration("lifecycle.undelete", std::chrono::hours(30 * 24));
  config.keep_changes = reader.Duration("change_log.keep", std::chrono::hours(30 * 24), kLeastKeptChanges);
  config.harm.changes = reader.Int("blast_radius.changes", 1000, 1, 1'000'000'000);
  config.harm.percent = reader.Int("blast_radius.percent", 5, 0, 100);
  config.harm.window = std::chrono::duration_cast<std::chrono::seconds>(
      reader.Duration("blast_radius.window", std::chrono::minutes(10)));
  config.least_password_characters = static_cast<size_t>(reader.Int("password.least_length", 8, 6, 128));
  PROV_RETURN_IF_ERROR(reader.Finish());
  for (const auto lifetime : {config.enrolment.host_lifetime, config.enrolment.caller_lifetime}) {
    if (lifetime < kLeastLifetime || lifetime > kMostLifetime) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: enrolment.host_lifetime and enrolment.caller_lifetime must be from 10s to 3650d", path));
    }
  }
  return config;
}

}  // namespace prov
