#include "agents/state/writer.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <set>
#include <utility>

#include "agents/state/confirmation.h"
#include "agents/state/lmdb.h"
#include "agents/state/role_edit.h"
#include "agents/state/tables.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::state {
namespace {

using std::chrono::system_clock;

system_clock::time_point TimeOf(uint64_t millis) {
  return system_clock::time_point(std::chrono::milliseconds(millis));
}

absl::Status CheckRemovals(uint64_t removals, uint64_t records, const RemovalLimit& limit) {
  const uint64_t most = std::max({limit.records, records * limit.percent / 100, limit.allowed});
  const uint64_t in_all = removals + limit.earlier;
  const uint64_t most_in_all = std::max(
      {limit.records_in_all, (records + limit.earlier) * limit.percent / 100, limit.allowed, limit.records});
  if (removals <= most && (removals == 0 || in_all <= most_in_all)) return absl::OkStatus();
  const uint64_t needed = removals > most ? removals : in_all;
  return FieldError(
      absl::StatusCode::kFailedPrecondition, "removals", kTooManyRemovals,
      fmt::format("would remove {} of {} records, {} of late with those before, more than {}: nothing "
                  "was changed; if it is right, say provctl approve hosts/NAME --changes {}, or run "
                  "prov-agent --allow-removals {} on the host",
                  removals, records, in_all, removals > most ? most : most_in_all, needed, needed));
}

class LmdbWriter final : public StateWriter {
 public:
  LmdbWriter(EnvPtr env, const Tables& tables, ConfirmationFile confirmations)
      : env_(std::move(env)), tables_(tables), confirmations_(std::move(confirmations)) {}

  absl::Status ApplyBatch(v1::Role role, const v1::Batch& batch, const RemovalLimit& limit) override {
    PROV_ASSIGN_OR_RETURN(RoleEdit edit, RoleEdit::Begin(env_.get(), tables_, role));
    PROV_ASSIGN_OR_RETURN(const uint64_t records, edit.CountRecords());
    const std::set<std::string_view> removals = RemovalsOf(batch);
    uint64_t there = 0;
    for (const std::string_view key : removals) {
      PROV_ASSIGN_OR_RETURN(const bool counts, CountsAsRemoval(edit, key, removals));
      there += counts ? 1 : 0;
    }
    PROV_RETURN_IF_ERROR(CheckRemovals(there, records, limit));
    for (const std::string_view key : removals) PROV_RETURN_IF_ERROR(edit.Remove(key));
    for (const v1::Record& record : batch.records()) PROV_RETURN_IF_ERROR(edit.Take(record));
    edit.cursor().received = std::max(edit.cursor().received, batch.to_revision());
    PROV_RETURN_IF_ERROR(edit.Commit());
    removed_[static_cast<size_t>(role)] += there;
    return absl::OkStatus();
  }

  absl::Status BeginSnapshot(v1::Role role) override {
    PROV_ASSIGN_OR_RETURN(RoleEdit edit, RoleEdit::Begin(env_.get(), tables_, role));
    edit.cursor().in_snapshot = ++edit.cursor().generation;
    // The snapshot names them again, or they are gone.
    PROV_RETURN_IF_ERROR(edit.ForgetRejections());
    return edit.Commit();
  }

  absl::Status ApplySnapshotBatch(v1::Role role, const v1::Batch& batch) override {
    PROV_ASSIGN_OR_RETURN(RoleEdit edit, RoleEdit::Begin(env_.get(), tables_, role));
    if (edit.cursor().in_snapshot == 0) return absl::FailedPreconditionError("no snapshot was begun");
    for (const v1::Record& record : batch.records()) PROV_RETURN_IF_ERROR(edit.Take(record));
    return edit.Commit();
  }

  absl::Status EndSnapshot(v1::Role role, uint64_t revision, const RemovalLimit& limit) override {
    PROV_ASSIGN_OR_RETURN(RoleEdit edit, RoleEdit::Begin(env_.get(), tables_, role));
    if (edit.cursor().in_snapshot == 0) return absl::FailedPreconditionError("no snapshot was begun");
    PROV_ASSIGN_OR_RETURN(const uint64_t records, edit.CountRecords());
    PROV_ASSIGN_OR_RETURN(const std::vector<std::string> unnamed, edit.Unnamed());
    const std::set<std::string_view> removals(unnamed.begin(), unnamed.end());
    uint64_t counted = 0;
    for (const std::string& key : unnamed) {
      PROV_ASSIGN_OR_RETURN(const bool counts, CountsAsRemoval(edit, key, removals));
      counted += counts ? 1 : 0;
    }
    PROV_RETURN_IF_ERROR(CheckRemovals(counted, records, limit));
    for (const std::string& key : unnamed) PROV_RETURN_IF_ERROR(edit.Remove(key));
    edit.cursor().in_snapshot = 0;
    edit.cursor().received = revision;
    return edit.Commit();
  }

  absl::StatusOr<std::vector<PendingItem>> Pending(v1::Role role, system_clock::time_point now,
                                                   size_t limit) override {
    PROV_ASSIGN_OR_RETURN(const RoleTables* tables, tables_.Of(role));
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Transaction::BeginRead(env_.get()));
    PROV_ASSIGN_OR_RETURN(Cursor walk, Cursor::Open(txn, tables->due));
    std::vector<PendingItem> items;
    PROV_ASSIGN_OR_RETURN(auto entry, walk.Seek(""));
    bool too_far = false;
    while (entry && items.size() < limit) {
      if (!too_far && TimeOf(DueOf(entry->key)) > now) {
        too_far = true;
        PROV_ASSIGN_OR_RETURN(entry, walk.Seek(TooFarAhead(now)));
        continue;
      }
      PROV_ASSIGN_OR_RETURN(PendingItem item, ReadItem(txn, *tables, entry->value));
      items.push_back(std::move(item));
      PROV_ASSIGN_OR_RETURN(entry, walk.Next());
    }
    return items;
  }

  absl::StatusOr<std::optional<system_clock::time_point>> NextDue(v1::Role role,
                                                                  system_clock::time_point now) override {
    PROV_ASSIGN_OR_RETURN(const RoleTables* tables, tables_.Of(role));
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Transaction::BeginRead(env_.get()));
    PROV_ASSIGN_OR_RETURN(Cursor walk, Cursor::Open(txn, tables->due));
    PROV_ASSIGN_OR_RETURN(const auto first, walk.Seek(""));
    if (!first) return std::nullopt;
    const auto earliest = TimeOf(DueOf(first->key));
    PROV_ASSIGN_OR_RETURN(const auto too_far, walk.Seek(TooFarAhead(now)));
    return too_far ? std::min(earliest, now) : earliest;
  }

  absl::Status Settle(v1::Role role, const std::vector<Outcome>& outcomes) override {
    PROV_ASSIGN_OR_RETURN(RoleEdit edit, RoleEdit::Begin(env_.get(), tables_, role));
    for (const Outcome& outcome : outcomes) PROV_RETURN_IF_ERROR(edit.Settle(outcome));
    return edit.Commit();
  }

  absl::Status Requeue(v1::Role role, const std::vector<std::string>& keys) override {
    PROV_ASSIGN_OR_RETURN(RoleEdit edit, RoleEdit::Begin(env_.get(), tables_, role));
    for (const std::string& key : keys) PROV_RETURN_IF_ERROR(edit.Requeue(key));
    return edit.Commit();
  }

  absl::StatusOr<bool> IsPending(v1::Role role, const std::string& key) override {
    PROV_ASSIGN_OR_RETURN(const RoleTables* tables, tables_.Of(role));
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Transaction::BeginRead(env_.get()));
    PROV_ASSIGN_OR_RETURN(const auto item, txn.Get(tables->pending, key));
    return item.has_value();
  }

  absl::StatusOr<Failing> GetFailing(v1::Role role, size_t limit) override {
    PROV_ASSIGN_OR_RETURN(const RoleTables* tables, tables_.Of(role));
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Transaction::BeginRead(env_.get()));
    PROV_ASSIGN_OR_RETURN(const RoleCursor cursor, ReadCursor(txn, tables_, role));
    Failing failing;
    failing.count = cursor.failing + cursor.rejected;
    if (failing.count == 0) return failing;
    PROV_RETURN_IF_ERROR(AddRejected(txn, *tables, limit, failing));
    PROV_RETURN_IF_ERROR(AddFailed(txn, *tables, limit, failing));
    return failing;
  }

  absl::Status ConfirmHead(v1::Role role, uint64_t head_revision, system_clock::time_point now) override {
    PROV_RETURN_IF_ERROR(tables_.Of(role).status());
    // An engine that was killed may have left a mark that keeps old pages alive.
    int dead = 0;
    if (const int code = mdb_reader_check(env_.get(), &dead); code != 0)
      return LmdbStatus(code, "reader check");
    return confirmations_.Write(role, {head_revision, now});
  }

  absl::StatusOr<Freshness> GetFreshness(v1::Role role) override {
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Transaction::BeginRead(env_.get()));
    PROV_ASSIGN_OR_RETURN(const RoleCursor cursor, ReadCursor(txn, tables_, role));
    PROV_ASSIGN_OR_RETURN(const Confirmation confirmation, confirmations_.Read(role));
    return Freshness{cursor.received, cursor.applied, confirmation.head_revision, confirmation.confirmed};
  }

  absl::StatusOr<std::optional<v1::Record>> FindRecord(v1::Role role, const std::string& key) override {
    PROV_ASSIGN_OR_RETURN(const RoleTables* tables, tables_.Of(role));
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Transaction::BeginRead(env_.get()));
    PROV_ASSIGN_OR_RETURN(const auto value, txn.Get(tables->records, key));
    if (!value) return std::nullopt;
    PROV_ASSIGN_OR_RETURN(const StoredRecord stored, DecodeRecord(*value));
    PROV_ASSIGN_OR_RETURN(v1::Record record, ParseRecord(stored.serialised));
    return record;
  }

  absl::StatusOr<uint64_t> CountRecords(v1::Role role) override {
    PROV_ASSIGN_OR_RETURN(const RoleTables* tables, tables_.Of(role));
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Transaction::BeginRead(env_.get()));
    return txn.Count(tables->records);
  }

  uint64_t RemovedRecords(v1::Role role) const override { return removed_[static_cast<size_t>(role)]; }

  absl::Status ForEachRecord(v1::Role role, const std::function<absl::Status(const v1::Record&)>& visit,
                             std::string_view after_key) override {
    PROV_ASSIGN_OR_RETURN(const RoleTables* tables, tables_.Of(role));
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Transaction::BeginRead(env_.get()));
    PROV_ASSIGN_OR_RETURN(Cursor walk, Cursor::Open(txn, tables->records));
    PROV_ASSIGN_OR_RETURN(auto entry, walk.Seek(after_key));
    if (entry && entry->key == after_key) {
      PROV_ASSIGN_OR_RETURN(entry, walk.Next());
    }
    while (entry) {
      PROV_ASSIGN_OR_RETURN(const StoredRecord stored, DecodeRecord(entry->value));
      PROV_ASSIGN_OR_RETURN(const v1::Record record, ParseRecord(stored.serialised));
      PROV_RETURN_IF_ERROR(visit(record));
      PROV_ASSIGN_OR_RETURN(entry, walk.Next());
    }
    return absl::OkStatus();
  }

 private:
  // The key of `due` from which on a clock that was set back speaks.
  static std::string TooFarAhead(system_clock::time_point now) {
    const auto limit =
        std::chrono::duration_cast<std::chrono::milliseconds>((now + kLongestRest).time_since_epoch());
    return DueKey({.due = static_cast<uint64_t>(limit.count()) + 1});
  }

  // Not those that the same batch brings back.
  static std::set<std::string_view> RemovalsOf(const v1::Batch& batch) {
    std::set<std::string_view> removals(batch.removed_keys().begin(), batch.removed_keys().end());
    for (const v1::Record& record : batch.records()) removals.erase(record.key());
    return removals;
  }

  // Whether users lose something by it. A move's record, and that of a mailbox which has gone to another
  // pool, say only that the move is done: of those there are as many as a pool has mailboxes when it is
  // emptied, and drivers remove no mail for them.
  static absl::StatusOr<bool> CountsAsRemoval(const RoleEdit& edit, std::string_view key,
                                              const std::set<std::string_view>& removals) {
    PROV_ASSIGN_OR_RETURN(const auto record, edit.Find(key));
    if (!record || record->has_mailbox_transit() || record->mailbox().leaving()) return false;
    PROV_ASSIGN_OR_RETURN(const bool follows, FollowsItsList(edit, key, removals));
    return !follows;
  }

  // Whether it is a member of a list that goes, or is gone: the list is one removal, however many were on it.
  static absl::StatusOr<bool> FollowsItsList(const RoleEdit& edit, std::string_view key,
                                             const std::set<std::string_view>& removals) {
    const size_t members = key.find("/members/");
    if (members == key.npos) return false;
    const std::string_view list = key.substr(0, members);
    if (removals.contains(list)) return true;
    PROV_ASSIGN_OR_RETURN(const bool there, edit.Has(list));
    return !there;
  }

  static absl::StatusOr<PendingItem> ReadItem(const Transaction& txn, const RoleTables& tables,
                                              std::string_view key) {
    PROV_ASSIGN_OR_RETURN(const auto value, txn.Get(tables.pending, key));
    if (!value) return absl::DataLossError("the state's queue names an item that is not there");
    PROV_ASSIGN_OR_RETURN(StoredItem stored, DecodeItem(*value));
    PendingItem item{.key = std::string(key), .ticket = stored.ticket, .revision = stored.revision};
    item.attempts = stored.attempts;
    item.error = std::move(stored.error);
    if (!stored.previous.empty()) {
      PROV_ASSIGN_OR_RETURN(item.previous, ParseRecord(stored.previous));
    }
    PROV_ASSIGN_OR_RETURN(const auto record, txn.Get(tables.records, key));
    if (record) {
      PROV_ASSIGN_OR_RETURN(const StoredRecord content, DecodeRecord(*record));
      PROV_ASSIGN_OR_RETURN(item.record, ParseRecord(content.serialised));
    }
    return item;
  }

  static absl::Status AddRejected(const Transaction& txn, const RoleTables& tables, size_t limit,
                                  Failing& failing) {
    PROV_ASSIGN_OR_RETURN(Cursor walk, Cursor::Open(txn, tables.rejected));
    PROV_ASSIGN_OR_RETURN(auto entry, walk.Seek(""));
    while (entry && failing.items.size() < limit) {
      PROV_ASSIGN_OR_RETURN(const StoredRejection stored, DecodeRejection(entry->value));
      failing.items.push_back({std::string(entry->key), stored.revision, "rejected: " + stored.error, {}});
      PROV_ASSIGN_OR_RETURN(entry, walk.Next());
    }
    return absl::OkStatus();
  }

  static absl::Status AddFailed(const Transaction& txn, const RoleTables& tables, size_t limit,
                                Failing& failing) {
    PROV_ASSIGN_OR_RETURN(Cursor walk, Cursor::Open(txn, tables.due));
    PROV_ASSIGN_OR_RETURN(auto entry, walk.Seek(DueKey({.due = 1})));
    while (entry && failing.items.size() < limit) {
      PROV_ASSIGN_OR_RETURN(const auto value, txn.Get(tables.pending, entry->value));
      if (!value) return absl::DataLossError("the state's queue names an item that is not there");
      PROV_ASSIGN_OR_RETURN(const StoredItem item, DecodeItem(*value));
      failing.items.push_back(
          {std::string(entry->value), item.revision, item.error, TimeOf(item.due), item.attempts});
      PROV_ASSIGN_OR_RETURN(entry, walk.Next());
    }
    return absl::OkStatus();
  }

  const EnvPtr env_;
  const Tables tables_;
  ConfirmationFile confirmations_;
  std::array<std::atomic<uint64_t>, v1::Role_ARRAYSIZE> removed_{};
};

// The umask must not narrow, nor an older program's choice widen, who may read.
absl::Status LetReadersIn(MDB_env* env, const std::string& directory, int confirmation,
                          std::optional<gid_t> group) {
  int data = -1;
  if (const int code = mdb_env_get_fd(env, &data); code != 0) return LmdbStatus(code, directory);
  const std::string lock = directory + "/lock.mdb";
  const gid_t owner = group.value_or(static_cast<gid_t>(-1));
  if (fchmod(data, kDataMode) != 0 || fchmod(confirmation, kDataMode) != 0 ||
      chmod(lock.c_str(), kLockMode) != 0) {
    return ErrnoStatus(errno, fmt::format("chmod of the files in {}", directory));
  }
  if (!group) return absl::OkStatus();
  if (fchown(data, -1, owner) != 0 || fchown(confirmation, -1, owner) != 0 ||
      lchown(lock.c_str(), -1, owner) != 0) {
    return ErrnoStatus(errno, fmt::format("chgrp of the files in {}", directory));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateWriter>> StateWriter::Open(const std::string& directory,
                                                               const WriterOptions& options) {
  PROV_ASSIGN_OR_RETURN(EnvPtr env, OpenEnvironment(directory, true, kDataMode));
  PROV_ASSIGN_OR_RETURN(const Tables tables, Tables::Open(env.get(), true));
  PROV_ASSIGN_OR_RETURN(ConfirmationFile confirmations, ConfirmationFile::Open(directory, true));
  PROV_RETURN_IF_ERROR(LetReadersIn(env.get(), directory, confirmations.fd(), options.readers_group));
  PROV_RETURN_IF_ERROR(SyncDirectory(directory));
  // The clock may have been set while nothing ran, and what failed may have been mended.
  for (const v1::Role role : kRoles) {
    PROV_ASSIGN_OR_RETURN(RoleEdit edit, RoleEdit::Begin(env.get(), tables, role));
    PROV_RETURN_IF_ERROR(edit.MakeAllDue());
    PROV_RETURN_IF_ERROR(edit.Commit());
  }
  return std::make_unique<LmdbWriter>(std::move(env), tables, std::move(confirmations));
}

}  // namespace prov::state
