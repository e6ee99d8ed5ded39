#include "server/store/domain_repository.h"

#include <fmt/format.h>

#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/postgres_error.h"
#include "server/store/rows.h"

namespace prov::store {
namespace {

using model::Domain;

constexpr Statement kInsert = {
    "insert_domain",
    "INSERT INTO prov.domain (name, suspended_mail, alias_of, catch_all, revision) "
    "VALUES ($1, $2, NULLIF($3, ''), $4, $5)"};
constexpr Statement kSave = {
    "save_domain",
    "UPDATE prov.domain SET suspended_mail = $2, alias_of = NULLIF($3, ''), catch_all = $4, "
    "update_time = now(), revision = $5 WHERE name = $1"};
constexpr Statement kSuspendedOf = {
    "suspended_of_domain", "SELECT id FROM prov.subscriber WHERE domain = $1 AND state = 'suspended'"};
constexpr Statement kUses = {"domain_uses",
                             "SELECT EXISTS (SELECT 1 FROM prov.address WHERE domain = $1 AND "
                             "COALESCE(reserved_until > now(), true)), "
                             "EXISTS (SELECT 1 FROM prov.domain WHERE alias_of = $1)"};
constexpr Statement kHasAddress = {
    "address_has_owner",
    "SELECT EXISTS (SELECT 1 FROM prov.address WHERE address = $1 AND reserved_until IS NULL)"};
constexpr Statement kInUse = {
    "domain_in_use",
    "SELECT EXISTS (SELECT 1 FROM prov.address WHERE domain = $1) OR "
    "EXISTS (SELECT 1 FROM prov.subscriber WHERE domain = $1 AND state <> 'purged') OR "
    "EXISTS (SELECT 1 FROM prov.domain WHERE alias_of = $1)"};
constexpr Statement kFreeReserved = {"free_reserved_addresses",
                                     "DELETE FROM prov.address WHERE domain = $1 AND reserved_until < now()"};
// Ids and uids come from sequences, so a purged one need not stay for the sake of never being given out
// twice.
constexpr Statement kForgetPurged = {"forget_purged_of_domain", R"(
WITH gone AS (DELETE FROM prov.mailbox_move m USING prov.subscriber s WHERE s.id = m.subscriber_id AND s.domain = $1)
DELETE FROM prov.subscriber WHERE domain = $1 AND state = 'purged')"};
constexpr Statement kRemove = {"remove_domain", "DELETE FROM prov.domain WHERE name = $1"};

const std::string& SelectByName() {
  static const std::string sql = fmt::format("SELECT {} FROM prov.domain WHERE name = $1", kDomainColumns);
  return sql;
}

absl::Status NotFound(const std::string& name) {
  return FieldError(absl::StatusCode::kNotFound, "name", "DOMAIN_UNKNOWN",
                    fmt::format("{} is not hosted here; provctl list-domains shows those that are", name));
}

}  // namespace

absl::StatusOr<Domain> DomainRepository::Get(const std::string& name) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read a domain", [&]() -> absl::StatusOr<Domain> {
    pqxx::read_transaction read(*lease);
    const pqxx::result found = read.exec_params(SelectByName(), name);
    if (found.empty()) return NotFound(name);
    return DomainOf(found[0]);
  });
}

absl::StatusOr<std::vector<Domain>> DomainRepository::List(const std::string& after, size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("list domains", [&]() -> absl::StatusOr<std::vector<Domain>> {
    pqxx::read_transaction read(*lease);
    std::vector<Domain> domains;
    const pqxx::result rows = read.exec_params(
        fmt::format("SELECT {} FROM prov.domain WHERE name > $1 ORDER BY name LIMIT $2", kDomainColumns),
        after, limit);
    for (const auto& row : rows) domains.push_back(DomainOf(row));
    return domains;
  });
}

absl::StatusOr<Domain> DomainRepository::Find(WriteTransaction& write, const std::string& name) {
  const pqxx::result found = write.Execute({"domain_by_name", SelectByName().c_str()}, name);
  if (found.empty()) return NotFound(name);
  return DomainOf(found[0]);
}

absl::StatusOr<Domain> DomainRepository::Insert(WriteTransaction& write, Domain domain) {
  write.Execute(kInsert, domain.name, std::string(SuspendedMailName(domain.suspended_mail)), domain.alias_of,
                domain.catch_all, write.revision());
  write.AddChange(AggregateKind::kDomain, domain.name);
  return Find(write, domain.name);
}

absl::StatusOr<Domain> DomainRepository::Save(WriteTransaction& write, const Domain& domain,
                                              bool policy_changed) {
  write.Execute(kSave, domain.name, std::string(SuspendedMailName(domain.suspended_mail)), domain.alias_of,
                domain.catch_all, write.revision());
  write.AddChange(AggregateKind::kDomain, domain.name);
  if (!policy_changed) return Find(write, domain.name);
  for (const auto& row : write.Execute(kSuspendedOf, domain.name)) {
    write.AddChange(AggregateKind::kSubscriber, row[0].as<std::string>());
  }
  return Find(write, domain.name);
}

absl::StatusOr<DomainRepository::Uses> DomainRepository::UsesOf(WriteTransaction& write,
                                                                const std::string& name) {
  const pqxx::result found = write.Execute(kUses, name);
  return Uses{found[0][0].as<bool>(), found[0][1].as<bool>()};
}

absl::StatusOr<bool> DomainRepository::HasAddress(WriteTransaction& write, const std::string& address) {
  return write.Execute(kHasAddress, address)[0][0].as<bool>();
}

absl::Status DomainRepository::Remove(WriteTransaction& write, const std::string& name) {
  write.Execute(kFreeReserved, name);
  if (write.Execute(kInUse, name)[0][0].as<bool>()) {
    return FieldError(
        absl::StatusCode::kFailedPrecondition, "name", "DOMAIN_IN_USE",
        fmt::format("{} still has subscribers, addresses (reserved ones count) or alias domains", name));
  }
  write.Execute(kForgetPurged, name);
  if (write.Execute(kRemove, name).affected_rows() == 0) return NotFound(name);
  write.AddChange(AggregateKind::kDomain, name, true);
  return absl::OkStatus();
}

}  // namespace prov::store
