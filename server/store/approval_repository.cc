#include "server/store/approval_repository.h"

#include <fmt/format.h>

#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

constexpr std::string_view kApi = "api/";

// A window that is over begins anew, unless the caller was stopped in it.
constexpr Statement kCount = {"count_harm", R"(
WITH most AS (
  SELECT greatest($2::bigint, $3::bigint * greatest(reltuples, 0)::bigint / 100,
    COALESCE((SELECT changes FROM prov.approval WHERE target = 'api/' || $1 AND expire_time > now()), 0)) AS changes
  FROM pg_class WHERE oid = 'prov.subscriber'::regclass
), counted AS (
  INSERT INTO prov.caller_harm AS h (caller, changes) VALUES ($1, $5::bigint)
  ON CONFLICT (caller) DO UPDATE SET
    window_start = CASE WHEN h.stopped_time IS NULL AND h.window_start < now() - make_interval(secs => $4::int)
      THEN now() ELSE h.window_start END,
    changes = CASE WHEN h.stopped_time IS NULL AND h.window_start < now() - make_interval(secs => $4::int)
      THEN $5::bigint ELSE h.changes + $5::bigint END
  RETURNING changes, stopped_time IS NOT NULL AS stopped
)
SELECT counted.changes > most.changes OR counted.stopped, most.changes FROM counted, most)"};
constexpr Statement kMarkStopped = {
    "mark_caller_stopped",
    "UPDATE prov.caller_harm SET stopped_time = now() WHERE caller = $1 AND stopped_time IS NULL"};
constexpr Statement kApprove = {"approve_changes", R"(
INSERT INTO prov.approval (target, changes, expire_time, caller)
VALUES ($1, $2, now() + make_interval(secs => $3::int), $4)
ON CONFLICT (target) DO UPDATE SET changes = excluded.changes, expire_time = excluded.expire_time,
  caller = excluded.caller
RETURNING (date_part('epoch', expire_time) * 1e6)::bigint)"};
constexpr Statement kBeginAnew = {"begin_harm_anew", "DELETE FROM prov.caller_harm WHERE caller = $1"};

model::Time TimeOf(const pqxx::field& microseconds) {
  return model::Time(std::chrono::microseconds(microseconds.as<int64_t>()));
}

}  // namespace

absl::StatusOr<uint64_t> ApprovalRepository::Approved(const std::string& target) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read an approval", [&]() -> absl::StatusOr<uint64_t> {
    pqxx::read_transaction read(*lease);
    const pqxx::result found = read.exec_params(
        "SELECT changes FROM prov.approval WHERE target = $1 AND expire_time > now()", target);
    return found.empty() ? 0 : found[0][0].as<uint64_t>();
  });
}

absl::StatusOr<std::vector<StoppedCaller>> ApprovalRepository::Stopped(size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read stopped callers", [&]() -> absl::StatusOr<std::vector<StoppedCaller>> {
    pqxx::read_transaction read(*lease);
    std::vector<StoppedCaller> stopped;
    for (const auto& row : read.exec_params(
             "SELECT caller, changes, (date_part('epoch', stopped_time) * 1e6)::bigint FROM prov.caller_harm "
             "WHERE stopped_time IS NOT NULL ORDER BY caller LIMIT $1",
             limit)) {
      stopped.push_back({row[0].as<std::string>(), row[1].as<int64_t>(), TimeOf(row[2])});
    }
    return stopped;
  });
}

absl::Status ApprovalRepository::Count(WriteTransaction& write, const model::HarmLimits& limits,
                                       int64_t changes) {
  const std::string caller(write.caller());
  const pqxx::row row =
      write.Execute(kCount, caller, limits.changes, limits.percent, limits.window.count(), changes)[0];
  if (!row[0].as<bool>()) return absl::OkStatus();
  return FieldError(
      absl::StatusCode::kFailedPrecondition, "caller", kBlastRadius,
      fmt::format(
          "{} would suspend, close or purge more than {} subscribers within {} minutes: it is stopped; if "
          "that is right, an operator lets it go on with provctl approve api/{} --changes NUMBER",
          caller, row[1].as<int64_t>(), limits.window / std::chrono::minutes(1), caller));
}

absl::Status ApprovalRepository::MarkStopped(WriteTransaction& write) {
  if (write.Execute(kMarkStopped, std::string(write.caller())).affected_rows() == 1) return absl::OkStatus();
  return absl::AlreadyExistsError("the caller is stopped already");
}

absl::StatusOr<Approval> ApprovalRepository::Approve(WriteTransaction& write, const std::string& target,
                                                     int64_t changes, std::chrono::seconds duration) {
  const pqxx::result given =
      write.Execute(kApprove, target, changes, duration.count(), std::string(write.caller()));
  if (target.starts_with(kApi)) write.Execute(kBeginAnew, target.substr(kApi.size()));
  return Approval{target, changes, TimeOf(given[0][0]), std::string(write.caller())};
}

}  // namespace prov::store
