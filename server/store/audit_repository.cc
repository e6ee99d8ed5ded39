#include "server/store/audit_repository.h"

#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

constexpr char kInsert[] =
    "INSERT INTO prov.audit (caller, peer, method, resource, request_id, revision, code) VALUES ($1, $2, $3, "
    "$4, $5, 0, $6)";

constexpr char kColumns[] =
    "SELECT id, (extract(epoch FROM time) * 1e6)::bigint AS time_us, caller, peer, method, resource, "
    "request_id, "
    "revision, code, COALESCE(before::text, '') AS before, COALESCE(after::text, '') AS after FROM "
    "prov.audit ";

AuditRecord RecordOf(const pqxx::row& row) {
  AuditRecord record;
  record.id = row["id"].as<uint64_t>();
  record.time = model::Time(std::chrono::microseconds(row["time_us"].as<int64_t>()));
  record.caller = row["caller"].as<std::string>();
  record.peer = row["peer"].as<std::string>();
  record.method = row["method"].as<std::string>();
  record.resource = row["resource"].as<std::string>();
  record.request_id = row["request_id"].as<std::string>();
  record.revision = row["revision"].as<uint64_t>();
  record.code = row["code"].as<int>();
  record.before_json = row["before"].as<std::string>();
  record.after_json = row["after"].as<std::string>();
  return record;
}

}  // namespace

absl::Status AuditRepository::Record(const AuditRecord& record) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("audit a call", [&]() -> absl::Status {
    pqxx::work write(*lease);
    write.exec_params(kInsert, record.caller, record.peer, record.method, record.resource, record.request_id,
                      record.code);
    write.commit();
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<AuditRecord>> AuditRepository::List(uint64_t before_id,
                                                               const std::string& resource, size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  const int64_t before = before_id == 0 ? INT64_MAX : static_cast<int64_t>(before_id);
  return Guarded("list audit records", [&]() -> absl::StatusOr<std::vector<AuditRecord>> {
    pqxx::read_transaction read(*lease);
    const std::string sql = kColumns;
    const pqxx::result rows =
        resource.empty() ? read.exec_params(sql + "WHERE id < $1 ORDER BY id DESC LIMIT $2", before, limit)
                         : read.exec_params(sql + "WHERE id < $1 AND resource = $3 ORDER BY id DESC LIMIT $2",
                                            before, limit, resource);
    std::vector<AuditRecord> records;
    for (const auto& row : rows) records.push_back(RecordOf(row));
    return records;
  });
}

}  // namespace prov::store
