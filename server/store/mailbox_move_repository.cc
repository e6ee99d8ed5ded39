#include "server/store/mailbox_move_repository.h"

#include <fmt/format.h>

#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/postgres_error.h"
#include "server/store/rows.h"

namespace prov::store {
namespace {

using model::MailboxMove;
using model::MoveState;

std::string Select(std::string_view where) {
  return fmt::format(
      "SELECT {} FROM prov.mailbox_move m JOIN prov.subscriber s ON s.id = m.subscriber_id WHERE {}",
      kMailboxMoveColumns, where);
}

const std::string& SelectById() {
  static const std::string sql = Select("m.id = $1");
  return sql;
}
const std::string& SelectOpen() {
  static const std::string sql = Select("m.subscriber_id = $1 AND m.state IN ('copying', 'switching')");
  return sql;
}

constexpr Statement kInsert = {"insert_mailbox_move", R"(
INSERT INTO prov.mailbox_move (subscriber_id, from_pool, to_pool, state, revision)
VALUES ($1, $2, $3, 'copying', $4) RETURNING id)"};
constexpr Statement kSetState = {
    "set_mailbox_move_state",
    "UPDATE prov.mailbox_move SET state = $2, error = '', update_time = now(), revision = $3 WHERE id = $1"};
constexpr Statement kSwitch = {
    "switch_mailbox",
    "UPDATE prov.subscriber SET store_pool = $2, leaving_pool = $3, revision = $4 WHERE id = $1"};
constexpr Statement kArrive = {"mailbox_arrived",
                               "UPDATE prov.subscriber SET leaving_pool = NULL, revision = $2 WHERE id = $1"};

// The host's pools are looked at here, so that a report costs one round trip.
constexpr char kRecordProgress[] = R"(
UPDATE prov.mailbox_move SET octets_copied = $3, octets_total = $4, error = $5, update_time = now()
WHERE id = $1 AND state IN ('copying', 'switching')
  AND EXISTS (SELECT 1 FROM prov.host_pool WHERE host = $2 AND pool = to_pool))";
constexpr char kMayReport[] = R"(
SELECT EXISTS (SELECT 1 FROM prov.host_pool h JOIN prov.mailbox_move m ON m.to_pool = h.pool WHERE h.host = $2 AND m.id = $1))";

absl::Status NotFound(int64_t id) {
  return FieldError(absl::StatusCode::kNotFound, "name", "MOVE_UNKNOWN",
                    fmt::format("there is no move {}; provctl list-moves shows those there are", id));
}

absl::Status NotOfHost(const std::string& host) {
  return FieldError(absl::StatusCode::kFailedPrecondition, "name", "MOVE_OF_OTHERS",
                    fmt::format("{} is not in the pool that the mailbox moves to", host));
}

}  // namespace

absl::StatusOr<MailboxMove> MailboxMoveRepository::Get(int64_t id) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read a move", [&]() -> absl::StatusOr<MailboxMove> {
    pqxx::read_transaction read(*lease);
    const pqxx::result found = read.exec_params(SelectById(), id);
    if (found.empty()) return NotFound(id);
    return MailboxMoveOf(found[0]);
  });
}

absl::StatusOr<std::vector<MailboxMove>> MailboxMoveRepository::List(int64_t before_id, bool open_only,
                                                                     size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("list moves", [&]() -> absl::StatusOr<std::vector<MailboxMove>> {
    pqxx::read_transaction read(*lease);
    const std::string sql =
        Select(fmt::format("($1::bigint = 0 OR m.id < $1::bigint){} ORDER BY m.id DESC LIMIT $2",
                           open_only ? " AND m.state IN ('copying', 'switching')" : ""));
    std::vector<MailboxMove> moves;
    const pqxx::result rows = read.exec_params(sql, before_id, limit);
    for (const auto& row : rows) moves.push_back(MailboxMoveOf(row));
    return moves;
  });
}

absl::StatusOr<MailboxMove> MailboxMoveRepository::RecordProgress(int64_t id, const std::string& host,
                                                                  int64_t octets_copied, int64_t octets_total,
                                                                  const std::string& error) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("record a move's progress", [&]() -> absl::StatusOr<MailboxMove> {
    pqxx::work work(*lease);
    const pqxx::result found = work.exec_params(SelectById(), id);
    if (found.empty()) return NotFound(id);
    if (!work.exec_params1(kMayReport, id, host)[0].as<bool>()) return NotOfHost(host);
    work.exec_params(kRecordProgress, id, host, octets_copied, octets_total, error);
    work.commit();
    return MailboxMoveOf(found[0]);
  });
}

absl::StatusOr<MailboxMove> MailboxMoveRepository::Find(WriteTransaction& write, int64_t id) {
  const pqxx::result found = write.Execute({"mailbox_move_by_id", SelectById().c_str()}, id);
  if (found.empty()) return NotFound(id);
  return MailboxMoveOf(found[0]);
}

absl::StatusOr<std::optional<MailboxMove>> MailboxMoveRepository::FindOpen(WriteTransaction& write,
                                                                           int64_t subscriber_id) {
  const pqxx::result found = write.Execute({"open_mailbox_move", SelectOpen().c_str()}, subscriber_id);
  if (found.empty()) return std::nullopt;
  return MailboxMoveOf(found[0]);
}

absl::StatusOr<MailboxMove> MailboxMoveRepository::Insert(WriteTransaction& write, const MailboxMove& move) {
  const pqxx::result added =
      write.Execute(kInsert, move.subscriber_id, move.from_pool, move.to_pool, write.revision());
  const auto id = added[0][0].as<int64_t>();
  write.AddChange(AggregateKind::kMailboxMove, std::to_string(id));
  return Find(write, id);
}

absl::StatusOr<MailboxMove> MailboxMoveRepository::SetState(WriteTransaction& write, const MailboxMove& move,
                                                            MoveState state) {
  write.Execute(kSetState, move.id, std::string(model::MoveStateName(state)), write.revision());
  write.AddChange(AggregateKind::kMailboxMove, std::to_string(move.id));
  if (state == MoveState::kSwitching) {
    write.Execute(kSwitch, move.subscriber_id, move.to_pool, move.from_pool, write.revision());
  } else if (state == MoveState::kDone) {
    write.Execute(kArrive, move.subscriber_id, write.revision());
  }
  if (state == MoveState::kSwitching || state == MoveState::kDone) {
    write.AddChange(AggregateKind::kSubscriber, std::to_string(move.subscriber_id));
  }
  return Find(write, move.id);
}

}  // namespace prov::store
