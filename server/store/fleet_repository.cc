#include "server/store/fleet_repository.h"

#include <fmt/format.h>

#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/postgres_error.h"
#include "server/store/rows.h"

namespace prov::store {
namespace {

using model::Host;
using model::Pool;

constexpr Statement kInsertPool = {
    "insert_pool", "INSERT INTO prov.pool (id, role, weight, revision) VALUES ($1, $2, $3, $4)"};
constexpr Statement kInsertHost = {"insert_host",
                                   "INSERT INTO prov.host (id, weight, revision) VALUES ($1, $2, $3)"};
constexpr Statement kInsertHostPool = {"insert_host_pool",
                                       "INSERT INTO prov.host_pool (host, pool) VALUES ($1, $2)"};
constexpr Statement kSavePool = {
    "save_pool", "UPDATE prov.pool SET weight = $2, update_time = now(), revision = $3 WHERE id = $1"};
constexpr Statement kPoolInUse = {"pool_in_use", R"(
SELECT EXISTS (SELECT 1 FROM prov.host_pool WHERE pool = $1)
  OR EXISTS (SELECT 1 FROM prov.subscriber WHERE store_pool = $1 AND state <> 'purged')
  OR EXISTS (SELECT 1 FROM prov.mailing_list WHERE pool = $1)
  OR EXISTS (SELECT 1 FROM prov.mailbox_move WHERE (from_pool = $1 OR to_pool = $1) AND state IN ('copying', 'switching')))"};
// Purged subscribers, and moves that have ended: what they were is in the audit log.
constexpr Statement kLeavePool = {"leave_pool", R"(
WITH gone AS (DELETE FROM prov.mailbox_move WHERE from_pool = $1 OR to_pool = $1)
UPDATE prov.subscriber SET store_pool = NULL WHERE store_pool = $1)"};
constexpr Statement kRemovePool = {"remove_pool", "DELETE FROM prov.pool WHERE id = $1"};
constexpr Statement kSaveHost = {
    "save_host",
    "UPDATE prov.host SET weight = $2, state = $3, update_time = now(), revision = $4 WHERE id = $1"};
constexpr Statement kLeavePools = {"leave_host_pools", "DELETE FROM prov.host_pool WHERE host = $1"};
constexpr Statement kRemoveHost = {"remove_host", "DELETE FROM prov.host WHERE id = $1"};
constexpr Statement kRequestInspection = {
    "request_inspection",
    "UPDATE prov.host SET inspection = inspection + 1, inspection_repairs = $2 WHERE id = $1"};
constexpr Statement kSetEndpoints = {
    "set_host_endpoints",
    "UPDATE prov.host SET endpoints = $2::jsonb, update_time = now(), revision = $3 WHERE id = $1"};

const std::string& SelectPool() {
  static const std::string sql = fmt::format("SELECT {} FROM prov.pool WHERE id = $1", kPoolColumns);
  return sql;
}
const std::string& SelectHost() {
  static const std::string sql = fmt::format("SELECT {} FROM prov.host WHERE id = $1", kHostColumns);
  return sql;
}

absl::Status PoolNotFound(const std::string& id) {
  return FieldError(absl::StatusCode::kNotFound, "name", "POOL_UNKNOWN",
                    fmt::format("there is no pool {}; provctl list-pools shows those there are", id));
}
absl::Status HostNotFound(const std::string& id) {
  return FieldError(absl::StatusCode::kNotFound, "name", "HOST_UNKNOWN",
                    fmt::format("there is no host {}; provctl list-hosts shows those there are", id));
}

}  // namespace

absl::StatusOr<Pool> FleetRepository::GetPool(const std::string& id) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read a pool", [&]() -> absl::StatusOr<Pool> {
    pqxx::read_transaction read(*lease);
    const pqxx::result found = read.exec_params(SelectPool(), id);
    if (found.empty()) return PoolNotFound(id);
    return PoolOf(found[0]);
  });
}

absl::StatusOr<Host> FleetRepository::GetHost(const std::string& id) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read a host", [&]() -> absl::StatusOr<Host> {
    pqxx::read_transaction read(*lease);
    const pqxx::result found = read.exec_params(SelectHost(), id);
    if (found.empty()) return HostNotFound(id);
    return HostOf(found[0]);
  });
}

absl::StatusOr<std::vector<Pool>> FleetRepository::ListPools(const std::string& after, size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("list pools", [&]() -> absl::StatusOr<std::vector<Pool>> {
    pqxx::read_transaction read(*lease);
    std::vector<Pool> pools;
    const pqxx::result rows = read.exec_params(
        fmt::format("SELECT {} FROM prov.pool WHERE id > $1 ORDER BY id LIMIT $2", kPoolColumns), after,
        limit);
    for (const auto& row : rows) pools.push_back(PoolOf(row));
    return pools;
  });
}

absl::StatusOr<std::vector<Host>> FleetRepository::ListHosts(const std::string& after, size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("list hosts", [&]() -> absl::StatusOr<std::vector<Host>> {
    pqxx::read_transaction read(*lease);
    std::vector<Host> hosts;
    const pqxx::result rows = read.exec_params(
        fmt::format("SELECT {} FROM prov.host WHERE id > $1 ORDER BY id LIMIT $2", kHostColumns), after,
        limit);
    for (const auto& row : rows) hosts.push_back(HostOf(row));
    return hosts;
  });
}

absl::StatusOr<Pool> FleetRepository::FindPool(WriteTransaction& write, const std::string& id) {
  const pqxx::result found = write.Execute({"pool_by_id", SelectPool().c_str()}, id);
  if (found.empty()) return PoolNotFound(id);
  return PoolOf(found[0]);
}

absl::StatusOr<Host> FleetRepository::FindHost(WriteTransaction& write, const std::string& id) {
  const pqxx::result found = write.Execute({"host_by_id", SelectHost().c_str()}, id);
  if (found.empty()) return HostNotFound(id);
  return HostOf(found[0]);
}

absl::StatusOr<Pool> FleetRepository::InsertPool(WriteTransaction& write, const Pool& pool) {
  write.Execute(kInsertPool, pool.id, std::string(model::RoleName(pool.role)), pool.weight, write.revision());
  write.AddChange(AggregateKind::kPool, pool.id);
  return FindPool(write, pool.id);
}

absl::StatusOr<Host> FleetRepository::InsertHost(WriteTransaction& write, const Host& host) {
  write.Execute(kInsertHost, host.id, host.weight, write.revision());
  for (const std::string& pool : host.pools) write.Execute(kInsertHostPool, host.id, pool);
  write.AddChange(AggregateKind::kHost, host.id);
  return FindHost(write, host.id);
}

absl::StatusOr<Pool> FleetRepository::SavePool(WriteTransaction& write, const Pool& pool) {
  write.Execute(kSavePool, pool.id, pool.weight, write.revision());
  write.AddChange(AggregateKind::kPool, pool.id);
  return FindPool(write, pool.id);
}

absl::Status FleetRepository::RemovePool(WriteTransaction& write, const std::string& id) {
  if (write.Execute(kPoolInUse, id)[0][0].as<bool>()) {
    return FieldError(absl::StatusCode::kFailedPrecondition, "name", "POOL_IN_USE",
                      fmt::format("{} still has hosts, mailboxes or lists", id));
  }
  write.Execute(kLeavePool, id);
  if (write.Execute(kRemovePool, id).affected_rows() == 0) return PoolNotFound(id);
  write.AddChange(AggregateKind::kPool, id, true);
  return absl::OkStatus();
}

absl::StatusOr<Host> FleetRepository::SaveHost(WriteTransaction& write, const Host& host) {
  write.Execute(kSaveHost, host.id, host.weight, std::string(model::HostStateName(host.state)),
                write.revision());
  write.Execute(kLeavePools, host.id);
  for (const std::string& pool : host.pools) write.Execute(kInsertHostPool, host.id, pool);
  write.AddChange(AggregateKind::kHost, host.id);
  return FindHost(write, host.id);
}

absl::Status FleetRepository::RemoveHost(WriteTransaction& write, const std::string& id) {
  if (write.Execute(kRemoveHost, id).affected_rows() == 0) return HostNotFound(id);
  write.AddChange(AggregateKind::kHost, id, true);
  return absl::OkStatus();
}

absl::StatusOr<Host> FleetRepository::RequestInspection(WriteTransaction& write, const std::string& id,
                                                        bool repair) {
  write.Execute(kRequestInspection, id, repair);
  write.AddChange(AggregateKind::kHost, id);
  return FindHost(write, id);
}

absl::StatusOr<Host> FleetRepository::SetEndpoints(WriteTransaction& write, const std::string& id,
                                                   const std::map<std::string, std::string>& endpoints) {
  write.Execute(kSetEndpoints, id, ToJson(endpoints), write.revision());
  write.AddChange(AggregateKind::kHost, id);
  return FindHost(write, id);
}

}  // namespace prov::store
