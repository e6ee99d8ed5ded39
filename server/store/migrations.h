// schema/sql, built into the program and applied in order.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::store {

struct Migration {
  int version = 0;
  std::string_view name;  // "0001_initial.sql"
  std::string_view sql;
};

// In order of version; embedded at build time.
const std::vector<Migration>& Migrations();

// Brings the database to this program's schema: each migration in a transaction of its own, several provd one
// after the other. Nothing to do needs no right but to read. FAILED_PRECONDITION when the database is newer
// than this program, an applied migration was edited, or the role may not migrate.
absl::Status Migrate(const std::string& conninfo, const std::vector<Migration>& migrations = Migrations());

// Gives `role` what provd needs to serve and no more: it may add to the audit log, not change it, and no
// schema. To be called by the owner, after Migrate. FAILED_PRECONDITION when the role is not there, or is the
// owner in other clothes.
absl::Status GrantService(const std::string& conninfo, const std::string& role);

// Whether the connection's role may change or remove audit records, or give itself the right to.
absl::StatusOr<bool> MayChangeAudit(const std::string& conninfo);

}  // namespace prov::store
