#include "server/store/migrations.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <map>
#include <pqxx/pqxx>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "common/log.h"
#include "common/status.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

// Any number, the same in every provd: "prov" in ASCII.
constexpr int64_t kAdvisoryLock = 0x70726f76;

constexpr char kCreateTable[] = R"(
CREATE TABLE IF NOT EXISTS public.prov_migration (
  version  integer PRIMARY KEY,
  name     text NOT NULL,
  checksum text NOT NULL,
  time     timestamptz NOT NULL DEFAULT now()
))";

std::string Checksum(std::string_view sql) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(sql.data()), sql.size(), digest);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(digest), sizeof digest));
}

// Whether `migration` was applied; an error if it was, with other content.
absl::StatusOr<bool> IsApplied(const std::map<int, std::string>& applied, const Migration& migration) {
  const auto found = applied.find(migration.version);
  if (found == applied.end()) return false;
  if (found->second == Checksum(migration.sql)) return true;
  return absl::FailedPreconditionError(fmt::format(
      "migration {} was applied to this database with other content; restore the program that did so",
      migration.name));
}

absl::Status CheckNotNewer(const std::map<int, std::string>& applied,
                           const std::vector<Migration>& migrations) {
  const int known = migrations.empty() ? 0 : migrations.back().version;
  const int found = applied.empty() ? 0 : applied.rbegin()->first;
  if (found <= known) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("the database has schema version {}, newer than {}, the newest that this provd knows; run "
                  "a newer provd",
                  found, known));
}

absl::Status MigrateConnected(pqxx::connection& connection, const std::vector<Migration>& migrations) {
  {
    pqxx::nontransaction setup(connection);
    setup.exec_params("SELECT pg_advisory_lock($1)", kAdvisoryLock);
    setup.exec("SET client_min_messages TO warning");
    // Even with IF NOT EXISTS it would take the right to create.
    if (setup.exec1("SELECT to_regclass('public.prov_migration')")[0].is_null()) setup.exec(kCreateTable);
  }
  std::map<int, std::string> applied;
  {
    pqxx::work read(connection);
    for (const auto& row : read.exec("SELECT version, checksum FROM public.prov_migration")) {
      applied.emplace(row[0].as<int>(), row[1].as<std::string>());
    }
  }
  if (absl::Status status = CheckNotNewer(applied, migrations); !status.ok()) return status;
  for (const Migration& migration : migrations) {
    const absl::StatusOr<bool> done = IsApplied(applied, migration);
    if (!done.ok()) return done.status();
    if (*done) continue;
    pqxx::work work(connection);
    work.exec(std::string(migration.sql));
    work.exec_params("INSERT INTO public.prov_migration (version, name, checksum) VALUES ($1, $2, $3)",
                     migration.version, std::string(migration.name), Checksum(migration.sql));
    work.commit();
    Log(Level::kInfo, "migration_applied", {{"name", migration.name}});
  }
  return absl::OkStatus();
}

// What the service may do with all tables, and then what it may not with the audit's.
constexpr const char* kGrants[] = {
    "REVOKE ALL ON ALL TABLES IN SCHEMA prov FROM ",
    "GRANT USAGE ON SCHEMA prov TO ",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA prov TO ",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA prov TO ",
    "REVOKE UPDATE, DELETE ON prov.audit FROM ",
    "REVOKE INSERT, DELETE ON prov.audit_head FROM ",
    "GRANT SELECT ON public.prov_migration TO ",
};

absl::Status CheckServiceRole(pqxx::work& work, const std::string& role) {
  const pqxx::result found = work.exec_params(
      "SELECT pg_has_role(r.oid, c.relowner, 'MEMBER') FROM pg_roles r, pg_class c WHERE r.rolname = $1 AND "
      "c.oid = 'prov.audit'::regclass",
      role);
  if (found.empty()) {
    return FieldError(absl::StatusCode::kFailedPrecondition, "service_role", "ROLE_UNKNOWN",
                      fmt::format("\"{}\" is not a role; make it first: CREATE ROLE … LOGIN", role));
  }
  if (!found[0][0].as<bool>()) return absl::OkStatus();
  return FieldError(absl::StatusCode::kFailedPrecondition, "service_role", "ROLE_IS_OWNER",
                    fmt::format("\"{}\" owns the tables, or may become their owner: no grant would bind it; "
                                "give another role",
                                role));
}

}  // namespace

absl::Status GrantService(const std::string& conninfo, const std::string& role) {
  return Guarded("grant rights", [&]() -> absl::Status {
    pqxx::connection connection(conninfo);
    pqxx::work work(connection);
    PROV_RETURN_IF_ERROR(CheckServiceRole(work, role));
    for (const char* grant : kGrants) work.exec(grant + work.quote_name(role));
    work.commit();
    return absl::OkStatus();
  });
}

absl::StatusOr<bool> MayChangeAudit(const std::string& conninfo) {
  return Guarded("look at the audit log's rights", [&]() -> absl::StatusOr<bool> {
    pqxx::connection connection(conninfo);
    pqxx::read_transaction read(connection);
    return read
        .exec1(
            "SELECT has_table_privilege('prov.audit', 'UPDATE, DELETE, TRUNCATE, TRIGGER') OR "
            "pg_has_role(relowner, 'MEMBER') FROM pg_class WHERE oid = 'prov.audit'::regclass")[0]
        .as<bool>();
  });
}

absl::Status Migrate(const std::string& conninfo, const std::vector<Migration>& migrations) {
  return Guarded("migrate the database", [&] {
    // The advisory lock goes with the connection.
    pqxx::connection connection(conninfo);
    return MigrateConnected(connection, migrations);
  });
}

}  // namespace prov::store
