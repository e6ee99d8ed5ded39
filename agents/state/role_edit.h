// One write transaction on one role's tables: records with their indexes, the drivers' queue, the cursor.
// For the state room alone.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/state/lmdb.h"
#include "agents/state/tables.h"
#include "agents/state/writer.h"

namespace prov::state {

// Nothing happened unless Commit returns OK. Not thread-safe.
class RoleEdit {
 public:
  static absl::StatusOr<RoleEdit> Begin(MDB_env* env, const Tables& tables, v1::Role role);

  RoleCursor& cursor() { return cursor_; }

  // Stores or rejects; queues what differs.
  absl::Status Take(const v1::Record& record);
  // Nothing when it is not there.
  absl::Status Remove(std::string_view key);
  absl::StatusOr<bool> Has(std::string_view key) const;
  // Nothing when it is not there.
  absl::StatusOr<std::optional<v1::Record>> Find(std::string_view key) const;
  absl::StatusOr<uint64_t> CountRecords() const { return txn_.Count(tables_->records); }
  // Keys that the snapshot under way did not name.
  absl::StatusOr<std::vector<std::string>> Unnamed() const;

  absl::Status ForgetRejections();
  absl::Status Requeue(std::string_view key);
  absl::Status Settle(const Outcome& outcome);
  // Makes every failed item due at once.
  absl::Status MakeAllDue();

  // Moves the applied cursor, then makes all durable.
  absl::Status Commit();

 private:
  RoleEdit(Transaction txn, const Tables& all, const RoleTables& tables, v1::Role role, RoleCursor cursor)
      : txn_(std::move(txn)), all_(&all), tables_(&tables), role_(role), before_(cursor), cursor_(cursor) {}

  absl::Status Store(const v1::Record& record, const std::optional<StoredRecord>& stored);
  absl::Status Index(const v1::Record& record);
  // Only entries that still point to the record: an address may have moved within the batch.
  absl::Status Unindex(const v1::Record& record);
  absl::Status Enqueue(std::string_view key, uint64_t revision, std::string_view previous);
  absl::Status PutItem(std::string_view key, const StoredItem& item);
  absl::Status EraseItem(std::string_view key, const StoredItem& item);
  absl::Status Reject(const v1::Record& record, const absl::Status& why,
                      const std::optional<StoredRecord>& stored);
  absl::Status ForgetRejection(std::string_view key);
  absl::StatusOr<uint64_t> AppliedNow() const;

  Transaction txn_;
  const Tables* all_;
  const RoleTables* tables_;
  v1::Role role_;
  RoleCursor before_, cursor_;
  bool changed_ = false;
};

}  // namespace prov::state
