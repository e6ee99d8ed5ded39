#include "agents/state/role_edit.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agents/state/record_check.h"
#include "common/status.h"

namespace prov::state {
namespace {

constexpr size_t kMaxErrorOctets = 300;

std::string ErrorText(const absl::Status& status) {
  return std::string(MessageOf(status).substr(0, kMaxErrorOctets));
}

// A key that cannot be one still has to be told of.
std::string RejectionKey(std::string_view key) {
  if (IsRecordKey(key)) return std::string(key);
  return fmt::format("invalid/{:016x}", std::hash<std::string_view>()(key));
}

constexpr int kMostNamesKept = 1000;  // beyond them an inspection finds what is left over

// What drivers may have made of two versions of a record, one of which they never came to: ids never change,
// but names of web space do, so that those of both are kept for whoever removes them.
absl::StatusOr<std::string> WithNamesOf(std::string_view older, std::string_view newer) {
  PROV_ASSIGN_OR_RETURN(const v1::Record before, ParseRecord(older));
  PROV_ASSIGN_OR_RETURN(v1::Record record, ParseRecord(newer));
  if (!before.has_account() || !record.has_account()) return std::string(newer);
  auto& names = *record.mutable_account()->mutable_web_names();
  for (const std::string& name : before.account().web_names()) {
    if (names.size() < kMostNamesKept && std::find(names.begin(), names.end(), name) == names.end()) {
      *names.Add() = name;
    }
  }
  return Serialise(record);
}

uint64_t Millis(std::chrono::system_clock::time_point time) {
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return static_cast<uint64_t>(std::max<int64_t>(millis, 1));  // 0 means: not tried yet
}

}  // namespace

absl::StatusOr<RoleEdit> RoleEdit::Begin(MDB_env* env, const Tables& tables, v1::Role role) {
  PROV_ASSIGN_OR_RETURN(const RoleTables* role_tables, tables.Of(role));
  PROV_ASSIGN_OR_RETURN(Transaction txn, Transaction::BeginWrite(env));
  PROV_ASSIGN_OR_RETURN(const RoleCursor cursor, ReadCursor(txn, tables, role));
  return RoleEdit(std::move(txn), tables, *role_tables, role, cursor);
}

absl::Status RoleEdit::Take(const v1::Record& record) {
  absl::Status check = CheckRecord(role_, record);
  std::optional<StoredRecord> stored;
  PROV_ASSIGN_OR_RETURN(const auto value, txn_.Get(tables_->records, record.key()));
  if (value) {
    PROV_ASSIGN_OR_RETURN(stored, DecodeRecord(*value));
    PROV_ASSIGN_OR_RETURN(const v1::Record before, ParseRecord(stored->serialised));
    if (check.ok()) check = CheckSuccessor(before, record);
  }
  if (!check.ok()) return Reject(record, check, stored);
  PROV_RETURN_IF_ERROR(ForgetRejection(record.key()));
  return Store(record, stored);
}

absl::Status RoleEdit::Store(const v1::Record& record, const std::optional<StoredRecord>& stored) {
  const std::string octets = Serialise(record);
  const bool same = stored && stored->serialised == octets;
  if (same && stored->generation == cursor_.generation) return absl::OkStatus();
  changed_ = true;
  // Copied, for writing ends the views.
  const std::string before(stored ? stored->serialised : std::string_view());
  if (same) return txn_.Put(tables_->records, record.key(), EncodeRecord(cursor_.generation, octets));
  if (stored) {
    PROV_ASSIGN_OR_RETURN(const v1::Record old, ParseRecord(before));
    PROV_RETURN_IF_ERROR(Unindex(old));
  }
  PROV_RETURN_IF_ERROR(Index(record));
  PROV_RETURN_IF_ERROR(txn_.Put(tables_->records, record.key(), EncodeRecord(cursor_.generation, octets)));
  if (!NeedsDriver(record)) return absl::OkStatus();
  return Enqueue(record.key(), record.revision(), before);
}

absl::Status RoleEdit::Remove(std::string_view key) {
  PROV_RETURN_IF_ERROR(ForgetRejection(key));
  PROV_ASSIGN_OR_RETURN(const auto value, txn_.Get(tables_->records, key));
  if (!value) return absl::OkStatus();
  changed_ = true;
  PROV_ASSIGN_OR_RETURN(const StoredRecord stored, DecodeRecord(*value));
  const std::string before(stored.serialised);
  PROV_ASSIGN_OR_RETURN(const v1::Record record, ParseRecord(before));
  PROV_RETURN_IF_ERROR(Unindex(record));
  PROV_RETURN_IF_ERROR(txn_.Erase(tables_->records, key).status());
  if (!NeedsDriver(record)) return absl::OkStatus();
  return Enqueue(key, 0, before);
}

absl::StatusOr<bool> RoleEdit::Has(std::string_view key) const {
  PROV_ASSIGN_OR_RETURN(const auto value, txn_.Get(tables_->records, key));
  return value.has_value();
}

absl::StatusOr<std::optional<v1::Record>> RoleEdit::Find(std::string_view key) const {
  PROV_ASSIGN_OR_RETURN(const auto value, txn_.Get(tables_->records, key));
  if (!value) return std::nullopt;
  PROV_ASSIGN_OR_RETURN(const StoredRecord stored, DecodeRecord(*value));
  return ParseRecord(stored.serialised);
}

absl::StatusOr<std::vector<std::string>> RoleEdit::Unnamed() const {
  std::vector<std::string> keys;
  PROV_ASSIGN_OR_RETURN(Cursor walk, Cursor::Open(txn_, tables_->records));
  PROV_ASSIGN_OR_RETURN(auto entry, walk.Seek(""));
  while (entry) {
    PROV_ASSIGN_OR_RETURN(const StoredRecord stored, DecodeRecord(entry->value));
    if (stored.generation != cursor_.in_snapshot) keys.emplace_back(entry->key);
    PROV_ASSIGN_OR_RETURN(entry, walk.Next());
  }
  return keys;
}

absl::Status RoleEdit::Index(const v1::Record& record) {
  for (const std::string_view address : AddressesOf(record)) {
    PROV_RETURN_IF_ERROR(txn_.Put(tables_->addresses, address, record.key()));
  }
  const auto login = LoginOf(record);
  return login ? txn_.Put(tables_->logins, *login, record.key()) : absl::OkStatus();
}

absl::Status RoleEdit::Unindex(const v1::Record& record) {
  const auto erase = [&](MDB_dbi table, std::string_view name) -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const auto owner, txn_.Get(table, name));
    if (!owner || *owner != record.key()) return absl::OkStatus();
    return txn_.Erase(table, name).status();
  };
  for (const std::string_view address : AddressesOf(record)) {
    PROV_RETURN_IF_ERROR(erase(tables_->addresses, address));
  }
  const auto login = LoginOf(record);
  return login ? erase(tables_->logins, *login) : absl::OkStatus();
}

absl::Status RoleEdit::PutItem(std::string_view key, const StoredItem& item) {
  changed_ = true;
  PROV_RETURN_IF_ERROR(txn_.Put(tables_->pending, key, EncodeItem(item)));
  return txn_.Put(tables_->due, DueKey(item), key);
}

absl::Status RoleEdit::EraseItem(std::string_view key, const StoredItem& item) {
  changed_ = true;
  PROV_RETURN_IF_ERROR(txn_.Erase(tables_->due, DueKey(item)).status());
  return txn_.Erase(tables_->pending, key).status();
}

// An item that was not tried yet keeps its place, and with it the revision before which it came.
absl::Status RoleEdit::Enqueue(std::string_view key, uint64_t revision, std::string_view previous) {
  StoredItem item;
  item.place = cursor_.next_number++;
  item.base = cursor_.received;
  PROV_ASSIGN_OR_RETURN(const auto value, txn_.Get(tables_->pending, key));
  if (value) {
    PROV_ASSIGN_OR_RETURN(const StoredItem old, DecodeItem(*value));
    if (old.due == 0) {
      item.place = old.place;
      item.base = old.base;
    } else {
      --cursor_.failing;
    }
    item.previous = old.previous;
    PROV_RETURN_IF_ERROR(EraseItem(key, old));
  }
  if (item.previous.empty()) {
    item.previous = previous;
  } else if (!previous.empty()) {
    PROV_ASSIGN_OR_RETURN(item.previous, WithNamesOf(item.previous, previous));
  }
  item.ticket = cursor_.next_number++;
  item.revision = revision;
  return PutItem(key, item);
}

absl::Status RoleEdit::Requeue(std::string_view key) {
  PROV_ASSIGN_OR_RETURN(const auto pending, txn_.Get(tables_->pending, key));
  PROV_ASSIGN_OR_RETURN(const auto value, txn_.Get(tables_->records, key));
  if (pending || !value) return absl::OkStatus();
  PROV_ASSIGN_OR_RETURN(const StoredRecord stored, DecodeRecord(*value));
  const std::string octets(stored.serialised);
  PROV_ASSIGN_OR_RETURN(const v1::Record record, ParseRecord(octets));
  if (!NeedsDriver(record)) return absl::OkStatus();
  return Enqueue(record.key(), record.revision(), octets);
}

absl::Status RoleEdit::Settle(const Outcome& outcome) {
  PROV_ASSIGN_OR_RETURN(const auto value, txn_.Get(tables_->pending, outcome.key));
  if (!value) return absl::OkStatus();
  PROV_ASSIGN_OR_RETURN(StoredItem item, DecodeItem(*value));
  if (item.ticket != outcome.ticket) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(EraseItem(outcome.key, item));
  const bool failed_before = item.due != 0;
  if (outcome.status.ok()) {
    if (failed_before) --cursor_.failing;
    return absl::OkStatus();
  }
  if (!failed_before) ++cursor_.failing;
  ++item.attempts;
  item.error = ErrorText(outcome.status);
  item.due = Millis(outcome.retry_at);
  return PutItem(outcome.key, item);
}

absl::Status RoleEdit::MakeAllDue() {
  std::vector<std::string> keys;
  {
    PROV_ASSIGN_OR_RETURN(Cursor walk, Cursor::Open(txn_, tables_->due));
    // Those due at 1 were made so before, or never got further.
    PROV_ASSIGN_OR_RETURN(auto entry, walk.Seek(DueKey({.due = 2})));
    while (entry) {
      keys.emplace_back(entry->value);
      PROV_ASSIGN_OR_RETURN(entry, walk.Next());
    }
  }
  for (const std::string& key : keys) {
    PROV_ASSIGN_OR_RETURN(const auto value, txn_.Get(tables_->pending, key));
    if (!value)
      return absl::DataLossError(fmt::format("the state's queue names {}, which is not there", key));
    PROV_ASSIGN_OR_RETURN(StoredItem item, DecodeItem(*value));
    PROV_RETURN_IF_ERROR(EraseItem(key, item));
    item.due = 1;
    PROV_RETURN_IF_ERROR(PutItem(key, item));
  }
  return absl::OkStatus();
}

absl::Status RoleEdit::Reject(const v1::Record& record, const absl::Status& why,
                              const std::optional<StoredRecord>& stored) {
  changed_ = true;
  // Rejected is not absent: a snapshot that names the key keeps what was there.
  if (stored && stored->generation != cursor_.generation) {
    const std::string octets(stored->serialised);
    const std::string value = EncodeRecord(cursor_.generation, octets);
    PROV_RETURN_IF_ERROR(txn_.Put(tables_->records, record.key(), value));
  }
  const std::string key = RejectionKey(record.key());
  PROV_ASSIGN_OR_RETURN(const auto known, txn_.Get(tables_->rejected, key));
  if (!known) ++cursor_.rejected;
  return txn_.Put(tables_->rejected, key, EncodeRejection({record.revision(), ErrorText(why)}));
}

absl::Status RoleEdit::ForgetRejection(std::string_view key) {
  if (cursor_.rejected == 0) return absl::OkStatus();
  PROV_ASSIGN_OR_RETURN(const bool was_there, txn_.Erase(tables_->rejected, RejectionKey(key)));
  if (!was_there) return absl::OkStatus();
  changed_ = true;
  --cursor_.rejected;
  return absl::OkStatus();
}

absl::Status RoleEdit::ForgetRejections() {
  cursor_.rejected = 0;
  return LmdbStatus(mdb_drop(txn_.get(), tables_->rejected, 0), "write state");
}

// Everything before the oldest item that was never tried.
absl::StatusOr<uint64_t> RoleEdit::AppliedNow() const {
  PROV_ASSIGN_OR_RETURN(Cursor walk, Cursor::Open(txn_, tables_->due));
  PROV_ASSIGN_OR_RETURN(const auto first, walk.Seek(""));
  if (!first || DueOf(first->key) != 0) return cursor_.received;
  PROV_ASSIGN_OR_RETURN(const auto value, txn_.Get(tables_->pending, first->value));
  if (!value) return absl::DataLossError("the state's queue names an item that is not there");
  PROV_ASSIGN_OR_RETURN(const StoredItem item, DecodeItem(*value));
  return std::min(item.base, cursor_.received);
}

absl::Status RoleEdit::Commit() {
  PROV_ASSIGN_OR_RETURN(cursor_.applied, AppliedNow());
  if (!changed_ && cursor_ == before_) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(WriteCursor(txn_, *all_, role_, cursor_));
  return txn_.Commit();
}

}  // namespace prov::state
