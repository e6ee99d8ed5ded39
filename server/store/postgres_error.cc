#include "server/store/postgres_error.h"

#include <fmt/format.h>

#include <pqxx/pqxx>
#include <string>

#include "common/log.h"
#include "common/status.h"

namespace prov::store {
namespace {

// A constraint of schema/sql, and what it means to a caller.
struct Constraint {
  std::string_view name;
  absl::StatusCode code;
  std::string_view field;
  std::string_view reason;
  std::string_view description;
};

constexpr Constraint kConstraints[] = {
    {"subscriber_login", absl::StatusCode::kAlreadyExists, "subscriber.login", "LOGIN_TAKEN",
     "is taken by another subscriber"},
    {"address_pkey", absl::StatusCode::kAlreadyExists, "address", "ADDRESS_TAKEN",
     "is taken by another subscriber or list, or reserved after a purge"},
    {"domain_pkey", absl::StatusCode::kAlreadyExists, "domain.name", "DOMAIN_EXISTS", "is there already"},
    {"pool_pkey", absl::StatusCode::kAlreadyExists, "pool.name", "POOL_EXISTS", "is there already"},
    {"host_pkey", absl::StatusCode::kAlreadyExists, "host.name", "HOST_EXISTS", "is there already"},
    {"subscriber_domain_fkey", absl::StatusCode::kNotFound, "subscriber.login", "DOMAIN_UNKNOWN",
     "has a domain that is not hosted here; add it with provctl add-domain"},
    {"address_domain_fkey", absl::StatusCode::kNotFound, "address", "DOMAIN_UNKNOWN",
     "has a domain that is not hosted here; add it with provctl add-domain"},
    {"subscriber_store_pool_fkey", absl::StatusCode::kNotFound, "subscriber.store_pool", "POOL_UNKNOWN",
     "is not a pool; provctl list-pools shows those there are"},
    {"host_pool_pool_fkey", absl::StatusCode::kNotFound, "host.pools", "POOL_UNKNOWN",
     "names a pool that is not there; provctl list-pools shows those there are"},
    {"domain_alias_of_fkey", absl::StatusCode::kNotFound, "domain.alias_of", "DOMAIN_UNKNOWN",
     "is a domain that is not hosted here"},
};

constexpr std::string_view kDeadlock = "40P01";
constexpr std::string_view kSerialization = "40001";
constexpr std::string_view kDiskFull = "53100";

absl::Status FromSqlError(const pqxx::sql_error& error, std::string_view context) {
  // libpqxx 6 does not tell the constraint; PostgreSQL names it in quotes in the first line.
  const std::string_view text = error.what();
  for (const Constraint& constraint : kConstraints) {
    if (text.find(fmt::format("\"{}\"", constraint.name)) != std::string_view::npos) {
      return FieldError(constraint.code, constraint.field, constraint.reason, constraint.description);
    }
  }
  const std::string& state = error.sqlstate();
  Log(Level::kError, "sql_error", {{"context", context}, {"sqlstate", state}, {"text", text}});
  const std::string told = fmt::format("{}: the database refused (SQL state {})", context, state);
  if (state == kDeadlock || state == kSerialization) return absl::AbortedError(told);
  if (state == kDiskFull) return absl::ResourceExhaustedError(told);
  // libpqxx 6 gives it no state.
  if (dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("{}: provd's database role lacks a right; run provd migrate, see provd(8)", context));
  }
  // Class 57: shutdown, cancellation. Class 08: connection. Class 53: resources.
  if (state.starts_with("57") || state.starts_with("08") || state.starts_with("53")) {
    return absl::UnavailableError(told);
  }
  return absl::InternalError(told);
}

}  // namespace

absl::Status FromPostgres(const std::exception& error, std::string_view context) {
  if (const auto* sql = dynamic_cast<const pqxx::sql_error*>(&error)) return FromSqlError(*sql, context);
  Log(Level::kWarning, "database_unreachable", {{"context", context}, {"text", error.what()}});
  if (dynamic_cast<const pqxx::in_doubt_error*>(&error) != nullptr) {
    return absl::UnavailableError(fmt::format(
        "{}: the connection to the database broke during commit; the same request_id is safe to send again",
        context));
  }
  if (dynamic_cast<const pqxx::broken_connection*>(&error) != nullptr) {
    return absl::UnavailableError(fmt::format("{}: the database is not reachable; try again", context));
  }
  return absl::InternalError(fmt::format("{}: the database answered in an unexpected way", context));
}

}  // namespace prov::store
