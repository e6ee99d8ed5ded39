// schema/sql, built into the program and applied in order.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace prov::store {

struct Migration {
  int version = 0;
  std::string_view name;  // "0001_initial.sql"
  std::string_view sql;
};

// In order of version; embedded at build time.
const std::vector<Migration>& Migrations();

// Brings the database to this program's schema: each migration in a transaction of its own, several provd one
// after the other. FAILED_PRECONDITION when the database is newer than this program, or an applied migration
// was edited.
absl::Status Migrate(const std::string& conninfo, const std::vector<Migration>& migrations = Migrations());

}  // namespace prov::store
