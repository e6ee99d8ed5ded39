#include "server/store/schedule_repository.h"

#include <fmt/format.h>

#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/postgres_error.h"
#include "server/store/rows.h"

namespace prov::store {
namespace {

constexpr char kSelect[] = R"(
SELECT c.id, c.subscriber_id, s.login, (date_part('epoch', c.effective_time) * 1e6)::bigint AS effective_us, c.method,
  c.request, c.caller, (date_part('epoch', c.create_time) * 1e6)::bigint AS create_us, c.error,
  c.error = '' AND c.effective_time <= now() AND h.stopped_time IS NOT NULL AS stopped
FROM prov.scheduled_change c JOIN prov.subscriber s ON s.id = c.subscriber_id
LEFT JOIN prov.caller_harm h ON h.caller = c.caller WHERE )";

model::Time TimeOf(const pqxx::field& microseconds) {
  return model::Time(std::chrono::microseconds(microseconds.as<int64_t>()));
}

ScheduledChange ChangeOf(const pqxx::row& row) {
  ScheduledChange change;
  change.id = row["id"].as<int64_t>();
  change.subscriber_id = row["subscriber_id"].as<int64_t>();
  change.login = row["login"].as<std::string>();
  change.effective_time = TimeOf(row["effective_us"]);
  change.method = row["method"].as<std::string>();
  change.request = pqxx::binarystring(row["request"]).str();
  change.caller = row["caller"].as<std::string>();
  change.create_time = TimeOf(row["create_us"]);
  change.error = row["error"].as<std::string>();
  change.stopped = row["stopped"].as<bool>();
  return change;
}

std::vector<ScheduledChange> ChangesOf(const pqxx::result& rows) {
  std::vector<ScheduledChange> changes;
  for (const auto& row : rows) changes.push_back(ChangeOf(row));
  return changes;
}

constexpr Statement kInsert = {"insert_scheduled_change", R"(
INSERT INTO prov.scheduled_change (subscriber_id, effective_time, method, request, caller)
SELECT $1::bigint, to_timestamp($2::bigint / 1e6), $3, $4, $5
WHERE (SELECT count(*) FROM prov.scheduled_change WHERE subscriber_id = $1::bigint) < $6::bigint)"};
constexpr Statement kRemove = {"remove_scheduled_change", "DELETE FROM prov.scheduled_change WHERE id = $1"};
constexpr Statement kRemoveAllOf = {"remove_scheduled_changes_of",
                                    "DELETE FROM prov.scheduled_change WHERE subscriber_id = $1"};
constexpr Statement kSetError = {"set_scheduled_change_error",
                                 "UPDATE prov.scheduled_change SET error = $2 WHERE id = $1 AND error = ''"};

const std::string& SelectById() {
  static const std::string sql = std::string(kSelect) + "c.id = $1";
  return sql;
}
const std::string& SelectOfSubscriber() {
  static const std::string sql =
      std::string(kSelect) + "c.subscriber_id = $1 ORDER BY c.effective_time, c.id";
  return sql;
}

absl::Status NotFound(int64_t id) {
  return FieldError(
      absl::StatusCode::kNotFound, "name", "SCHEDULED_CHANGE_UNKNOWN",
      fmt::format("there is no scheduled change {}: it is done or cancelled, or never was", id));
}

}  // namespace

absl::StatusOr<std::vector<ScheduledChange>> ScheduleRepository::List(int64_t subscriber_id,
                                                                      model::Time after_time,
                                                                      int64_t after_id, size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("list scheduled changes", [&]() -> absl::StatusOr<std::vector<ScheduledChange>> {
    pqxx::read_transaction read(*lease);
    std::string sql =
        std::string(kSelect) + "(c.effective_time, c.id) > (to_timestamp($1::bigint / 1e6), $2::bigint)";
    const std::string order = " ORDER BY c.effective_time, c.id LIMIT $3";
    const int64_t after = ToMicroseconds(after_time);
    if (subscriber_id == 0) return ChangesOf(read.exec_params(sql + order, after, after_id, limit));
    sql += " AND c.subscriber_id = $4::bigint";
    return ChangesOf(read.exec_params(sql + order, after, after_id, limit, subscriber_id));
  });
}

absl::StatusOr<std::vector<ScheduledChange>> ScheduleRepository::Due(size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read due changes", [&]() -> absl::StatusOr<std::vector<ScheduledChange>> {
    pqxx::read_transaction read(*lease);
    return ChangesOf(read.exec_params(
        std::string(kSelect) + "c.error = '' AND c.effective_time <= now() AND h.stopped_time IS NULL "
                               "ORDER BY c.effective_time, c.id LIMIT $1",
        limit));
  });
}

absl::Status ScheduleRepository::Insert(WriteTransaction& write, const ScheduledChange& change) {
  const pqxx::binarystring request(change.request.data(), change.request.size());
  if (write
          .Execute(kInsert, change.subscriber_id, ToMicroseconds(change.effective_time), change.method,
                   request, change.caller, kMostScheduledChanges)
          .affected_rows() == 1) {
    return absl::OkStatus();
  }
  return FieldError(
      absl::StatusCode::kResourceExhausted, "effective_time", "TOO_MANY_SCHEDULED_CHANGES",
      fmt::format("{} changes are scheduled for the subscriber already; cancel one with provctl "
                  "cancel-scheduled",
                  kMostScheduledChanges));
}

absl::StatusOr<std::vector<ScheduledChange>> ScheduleRepository::OfSubscriber(WriteTransaction& write,
                                                                              int64_t subscriber_id) {
  return ChangesOf(
      write.Execute({"scheduled_changes_of_subscriber", SelectOfSubscriber().c_str()}, subscriber_id));
}

absl::StatusOr<ScheduledChange> ScheduleRepository::Remove(WriteTransaction& write, int64_t id) {
  const pqxx::result found = write.Execute({"scheduled_change_by_id", SelectById().c_str()}, id);
  if (found.empty()) return NotFound(id);
  write.Execute(kRemove, id);
  return ChangeOf(found[0]);
}

absl::Status ScheduleRepository::RemoveAllOf(WriteTransaction& write, int64_t subscriber_id) {
  write.Execute(kRemoveAllOf, subscriber_id);
  return absl::OkStatus();
}

absl::Status ScheduleRepository::SetError(WriteTransaction& write, int64_t id, const std::string& error) {
  return write.Execute(kSetError, id, error).affected_rows() == 1 ? absl::OkStatus() : NotFound(id);
}

}  // namespace prov::store
