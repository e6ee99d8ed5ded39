#include "server/migrate_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "common/log.h"
#include "common/status.h"
#include "server/store/migrations.h"

namespace prov {
namespace {

absl::Status RunMigrate(const std::string& connection, const std::string& service_role) {
  if (connection.find("password") != std::string::npos) {
    return InvalidField(
        "connection", "must not hold a password, others can read it there; use ~/.pgpass or a service file");
  }
  PROV_RETURN_IF_ERROR(InitLog("provd", "info"));
  PROV_RETURN_IF_ERROR(store::Migrate(connection));
  return store::GrantService(connection, service_role);
}

}  // namespace

int RunMigrateCommand(int argc, char** argv) {
  CLI::App app(
      "Make or upgrade the tables as their owner, and give provd's own role what it needs: it may add to "
      "the\n"
      "audit log, not change it. Run it before the first start and after each upgrade.\n\nExample:\n"
      "  provd migrate --connection \"host=/run/postgresql dbname=prov user=prov_owner\" --service-role "
      "prov");
  std::string connection, service_role;
  CLI::App* migrate = app.add_subcommand("migrate", "make or upgrade the tables");
  migrate->add_option("--connection", connection, "libpq's connection string, of the tables' owner")
      ->required();
  migrate->add_option("--service-role", service_role, "as whom provd connects; it must exist")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = RunMigrate(connection, service_role);
  if (status.ok()) return 0;
  fmt::print(stderr, "provd migrate: {}\n", MessageOf(status));
  return 1;
}

}  // namespace prov
