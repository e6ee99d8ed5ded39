// LMDB with status values and owners. For the state room alone.
#pragma once

#include <lmdb.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::state {

// The file is sparse: this is address space, and the most a copy may ever grow to.
constexpr size_t kMapOctets = size_t{16} << 30;
constexpr unsigned kMaxReaders = 512;   // look-ups at one moment, all engines together
constexpr size_t kMaxKeyOctets = 511;   // LMDB's own limit, built in
constexpr unsigned kMaxDatabases = 64;  // named databases in one environment

// MDB_NOTFOUND is NOT_FOUND; a full map or disk RESOURCE_EXHAUSTED; a broken file DATA_LOSS; an environment
// that LMDB has given up INTERNAL (start the process again); the rest UNAVAILABLE.
absl::Status LmdbStatus(int code, std::string_view context);

using EnvPtr = std::shared_ptr<MDB_env>;

// Opens DIRECTORY/data.mdb and lock.mdb, for reading only or for both. Within one process all owners of a
// directory share one environment: LMDB's lock file does not stand two. DATA_LOSS when the file is no LMDB
// file or shorter than it says; FAILED_PRECONDITION when this process has it open for reading and wants to
// write. Thread-safe.
absl::StatusOr<EnvPtr> OpenEnvironment(const std::string& directory, bool writable, mode_t mode);

// One transaction; aborted when destroyed without Commit. Views it gives are valid until then, or until the
// next write. Not thread-safe.
class Transaction {
 public:
  static absl::StatusOr<Transaction> BeginRead(MDB_env* env) { return Begin(env, MDB_RDONLY); }
  static absl::StatusOr<Transaction> BeginWrite(MDB_env* env) { return Begin(env, 0); }
  Transaction(Transaction&& other) noexcept : txn_(std::exchange(other.txn_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction() {
    if (txn_ != nullptr) mdb_txn_abort(txn_);
  }

  // Nothing when the key is not there, or cannot be one.
  absl::StatusOr<std::optional<std::string_view>> Get(MDB_dbi table, std::string_view key) const;
  absl::Status Put(MDB_dbi table, std::string_view key, std::string_view value);
  // Whether it was there.
  absl::StatusOr<bool> Erase(MDB_dbi table, std::string_view key);
  absl::StatusOr<uint64_t> Count(MDB_dbi table) const;
  absl::Status Commit();
  MDB_txn* get() const { return txn_; }

 private:
  explicit Transaction(MDB_txn* txn) : txn_(txn) {}
  static absl::StatusOr<Transaction> Begin(MDB_env* env, unsigned flags);
  MDB_txn* txn_;
};

// Walks a table in order of keys. Must be destroyed before its transaction.
class Cursor {
 public:
  static absl::StatusOr<Cursor> Open(const Transaction& txn, MDB_dbi table);
  Cursor(Cursor&& other) noexcept : cursor_(std::exchange(other.cursor_, nullptr)) {}
  Cursor& operator=(Cursor&&) = delete;
  ~Cursor() {
    if (cursor_ != nullptr) mdb_cursor_close(cursor_);
  }

  struct Entry {
    std::string_view key, value;
  };
  // The first entry at or after `key`; nothing when there is none.
  absl::StatusOr<std::optional<Entry>> Seek(std::string_view key);
  absl::StatusOr<std::optional<Entry>> Next();

 private:
  explicit Cursor(MDB_cursor* cursor) : cursor_(cursor) {}
  absl::StatusOr<std::optional<Entry>> Move(MDB_val key, MDB_cursor_op op);
  MDB_cursor* cursor_;
};

}  // namespace prov::state
