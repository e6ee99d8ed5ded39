#include "server/store/audit_repository.h"

#include <algorithm>
#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/audit_rows.h"
#include "server/store/postgres_error.h"
#include "server/store/rows.h"

namespace prov::store {
namespace {

constexpr size_t kPage = 1000;  // of a check: some megabytes at most

constexpr char kLockHead[] = "SELECT id, hash FROM prov.audit_head FOR UPDATE";
// Writes wait for that lock, in every provd: one that is frozen must not keep it.
constexpr char kEndWhenFrozen[] = "SET LOCAL idle_in_transaction_session_timeout = '5s'";
// Of one moment, so that both tell of the same log.
constexpr char kReadHead[] =
    "SELECT h.id, h.hash, COALESCE((SELECT max(id) FROM prov.audit), 0) FROM prov.audit_head h";

AuditHead HeadOf(const pqxx::row& row) { return {row[0].as<uint64_t>(), pqxx::binarystring(row[1]).str()}; }

}  // namespace

absl::Status AuditRepository::Record(const AuditRecord& record) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("audit a call", [&]() -> absl::Status {
    static const std::string append = std::string("WITH ") + kAppendAudit + " SELECT";
    pqxx::work write(*lease);
    write.exec(kEndWhenFrozen);
    AuditHead head = HeadOf(write.exec1(kLockHead));
    std::vector<AuditRecord> records = {record};
    records[0].time = std::chrono::system_clock::now();
    records[0].revision = 0;
    Chain(head, records);
    write.exec_params(append, pqxx::prepare::make_dynamic_params(AppendParameters(head, records)));
    write.commit();
    return absl::OkStatus();
  });
}

absl::StatusOr<AuditHead> AuditRepository::Head() {
  uint64_t last_id = 0;
  return ReadHead(&last_id);
}

absl::StatusOr<AuditHead> AuditRepository::ReadHead(uint64_t* last_id) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read the audit log's head", [&]() -> absl::StatusOr<AuditHead> {
    pqxx::read_transaction read(*lease);
    const pqxx::row row = read.exec1(kReadHead);
    *last_id = row[2].as<uint64_t>();
    return HeadOf(row);
  });
}

absl::StatusOr<std::vector<AuditRecord>> AuditRepository::List(const AuditQuery& query) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  const int64_t before = query.before_id == 0 ? INT64_MAX : static_cast<int64_t>(query.before_id);
  return Guarded("list audit records", [&]() -> absl::StatusOr<std::vector<AuditRecord>> {
    pqxx::read_transaction read(*lease);
    std::string sql = kAuditColumns;
    sql += "WHERE id < $1::bigint";
    const auto limit = static_cast<int64_t>(query.limit);
    // Parameters that a query has no use for are bound all the same.
    sql += query.resource.empty() ? " AND $2::text = ''" : " AND resource = $2";
    sql += query.caller.empty() ? " AND $3::text = ''" : " AND caller = $3";
    // Records are in the order of their ids, and of their time but for the difference between clocks; without
    // the least id, a page would look through all the older ones in vain.
    sql += query.since
               ? " AND time >= timestamptz 'epoch' + $4::bigint * interval '1 microsecond' AND id >= "
                 "(SELECT min(id) FROM (SELECT id FROM prov.audit WHERE time >= timestamptz 'epoch' + "
                 "$4::bigint * interval '1 microsecond' ORDER BY time LIMIT 1000) AS first)"
               : " AND $4::bigint = 0";
    sql += " ORDER BY id DESC LIMIT $5::bigint";
    const pqxx::result rows = read.exec_params(sql, before, query.resource, query.caller,
                                               query.since ? ToMicroseconds(*query.since) : 0, limit);
    std::vector<AuditRecord> records;
    for (const auto& row : rows) records.push_back(AuditRecordOf(row));
    return records;
  });
}

absl::StatusOr<std::vector<AuditRecord>> AuditRepository::After(uint64_t id, uint64_t last_id, size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read audit records", [&]() -> absl::StatusOr<std::vector<AuditRecord>> {
    pqxx::read_transaction read(*lease);
    const pqxx::result rows =
        read.exec_params(std::string(kAuditColumns) +
                             "WHERE id > $1::bigint AND id <= $2::bigint ORDER BY id LIMIT $3::bigint",
                         id, last_id, limit);
    std::vector<AuditRecord> records;
    for (const auto& row : rows) records.push_back(AuditRecordOf(row));
    return records;
  });
}

absl::StatusOr<AuditVerdict> AuditRepository::Verify(const AuditCheck& check) {
  AuditVerdict verdict;
  uint64_t last_id = 0;
  PROV_ASSIGN_OR_RETURN(verdict.head, ReadHead(&last_id));
  AuditWalk walk(check.after, check.noted);
  bool ended = false;
  while (!ended && !verdict.broken && verdict.records_checked < check.most_records) {
    if (check.cancelled && check.cancelled()) return absl::CancelledError("the caller has gone");
    const size_t limit = std::min<uint64_t>(kPage, check.most_records - verdict.records_checked);
    PROV_ASSIGN_OR_RETURN(const std::vector<AuditRecord> page, After(walk.reached().id, last_id, limit));
    ended = page.empty();
    for (const AuditRecord& record : page) {
      verdict.broken = walk.Check(record);
      if (verdict.broken) break;
      ++verdict.records_checked;
    }
  }
  if (ended && !verdict.broken) verdict.broken = walk.Finish(verdict.head, last_id);
  verdict.reached = walk.reached();
  verdict.complete = ended || verdict.broken.has_value();
  return verdict;
}

}  // namespace prov::store
