#include "server/config.h"

#include "common/config.h"
#include "common/status.h"

namespace prov {

absl::StatusOr<ProvdConfig> LoadProvdConfig(const std::string& path) {
  PROV_ASSIGN_OR_RETURN(ConfigReader reader, ConfigReader::Load(path));
  ProvdConfig config;
  config.listen = reader.String("listen", "[::]:7443");
  config.metrics = reader.String("metrics", "");
  config.log_level = reader.String("log_level", "info");
  config.tls.ca = reader.Path("tls.ca", "/etc/prov/ca.pem");
  config.tls.certificate = reader.Path("tls.certificate", "/etc/prov/provd.pem");
  config.tls.key = reader.Path("tls.key", "/etc/prov/provd.key");
  config.postgres.connection = reader.RequiredString("postgres.connection");
  config.postgres.connections = static_cast<size_t>(reader.Int("postgres.connections", 16, 2, 512));
  config.directory.uri = reader.RequiredString("directory.uri");
  config.directory.base = reader.RequiredString("directory.base");
  config.directory.bind_dn = reader.RequiredString("directory.bind_dn");
  config.directory.password_file = reader.RequiredPath("directory.password_file");
  config.directory.ca = reader.Path("directory.ca", "");
  config.directory.starttls = reader.Bool("directory.starttls", false);
  config.directory.home_prefix = reader.String("directory.home_prefix", "/srv/prov/homes");
  config.directory.most_removals =
      static_cast<size_t>(reader.Int("directory.most_removals", 100, 0, 1'000'000'000));
  directory::Services& services = config.directory.services;
  services.login = reader.Strings("directory.services.login", services.login);
  services.submit = reader.Strings("directory.services.submit", services.submit);
  services.ftp = reader.Strings("directory.services.ftp", services.ftp);
  services.web = reader.Strings("directory.services.web", services.web);
  config.undelete = reader.Duration("lifecycle.undelete", std::chrono::hours(30 * 24));
  config.harm.changes = reader.Int("blast_radius.changes", 1000, 1, 1'000'000'000);
  config.harm.percent = reader.Int("blast_radius.percent", 5, 0, 100);
  config.harm.window = std::chrono::duration_cast<std::chrono::seconds>(
      reader.Duration("blast_radius.window", std::chrono::minutes(10)));
  config.least_password_characters = static_cast<size_t>(reader.Int("password.least_length", 8, 6, 128));
  PROV_RETURN_IF_ERROR(reader.Finish());
  return config;
}

}  // namespace prov
