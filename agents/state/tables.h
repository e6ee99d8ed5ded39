// How the host's copy lies in LMDB, and how its values are written. For the state room alone.
//
// For each role: records by key (a check, a generation mark, the serialised v1::Record); the keys of records
// by address and by login; what drivers have yet to do by key, and by when it is due; what was rejected by
// key. Numbers are big-endian, so that they sort.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/state/lmdb.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::state {

// Written to every new environment; another one is DATA_LOSS: made by a program of other days.
constexpr std::string_view kFormat = "prov-state-4";
constexpr std::string_view kFormatKey = "format";
constexpr mode_t kDataMode = 0640;  // engines read
constexpr mode_t kLockMode = 0660;  // and note themselves down as readers

constexpr std::array kRoles = {v1::RELAY, v1::STORE, v1::OUTBOUND, v1::LIST, v1::POP_PROXY, v1::FTP, v1::WEB};

struct RoleTables {
  MDB_dbi records = 0, addresses = 0, logins = 0, pending = 0, due = 0, rejected = 0;
};

struct Tables {
  MDB_dbi meta = 0;
  std::array<RoleTables, kRoles.size()> roles;

  // Makes them if `writable`. UNAVAILABLE when they are not there yet, DATA_LOSS when the format is another.
  // Thread-safe.
  static absl::StatusOr<Tables> Open(MDB_env* env, bool writable);
  // INVALID_ARGUMENT for what is no role.
  absl::StatusOr<const RoleTables*> Of(v1::Role role) const;
};

// Where one role's copy stands.
struct RoleCursor {
  uint64_t received = 0;
  uint64_t applied = 0;
  uint64_t generation = 0;  // of the newest snapshot begun
  uint64_t in_snapshot = 0;
  uint64_t next_number = 0;  // for tickets and places in the queue
  uint64_t failing = 0;      // pending items that failed
  uint64_t rejected = 0;

  bool operator==(const RoleCursor&) const = default;
};
absl::StatusOr<RoleCursor> ReadCursor(const Transaction& txn, const Tables& tables, v1::Role role);
absl::Status WriteCursor(Transaction& txn, const Tables& tables, v1::Role role, const RoleCursor& cursor);

// A value of `records`.
struct StoredRecord {
  uint64_t generation = 0;
  std::string_view serialised;
};
std::string EncodeRecord(uint64_t generation, std::string_view serialised);
// DATA_LOSS when it is not as it was written: LMDB itself would not notice.
absl::StatusOr<StoredRecord> DecodeRecord(std::string_view value);
absl::StatusOr<v1::Record> ParseRecord(std::string_view serialised);
// The same octets for the same record, maps included.
std::string Serialise(const v1::Record& record);

// A value of `pending`.
struct StoredItem {
  uint64_t due = 0;       // milliseconds since 1970; 0: not tried yet
  uint64_t place = 0;     // among those due at the same time
  uint64_t ticket = 0;    // changes with each new version
  uint64_t revision = 0;  // of the record; 0: of a removal
  uint64_t base = 0;      // the copy stood here before the change came
  uint64_t attempts = 0;
  std::string error;
  std::string previous;  // serialised; empty: nothing
};
std::string EncodeItem(const StoredItem& item);
absl::StatusOr<StoredItem> DecodeItem(std::string_view value);
// A key of `due`; its value is the key of `pending`.
std::string DueKey(const StoredItem& item);
uint64_t DueOf(std::string_view due_key);

// A value of `rejected`.
struct StoredRejection {
  uint64_t revision = 0;
  std::string error;
};
std::string EncodeRejection(const StoredRejection& rejection);
absl::StatusOr<StoredRejection> DecodeRejection(std::string_view value);

// Under which addresses and logins a record is found. Views into `record`.
std::vector<std::string_view> AddressesOf(const v1::Record& record);
std::optional<std::string_view> LoginOf(const v1::Record& record);

// Whether a change of such a record is work for drivers; others are applied by being stored.
bool NeedsDriver(const v1::Record& record);

}  // namespace prov::state
