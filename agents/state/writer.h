// The one writer of the host's copy of its views. The agent alone opens it.
//
// Layout in LMDB: for each role its records by key; indexes by address and by login; items that drivers have
// yet to do; the cursor. A batch is one transaction, durable when the call returns.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/state/reader.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::state {

// What drivers have yet to do for one key. Survives restarts until Done.
struct PendingItem {
  std::string key;
  uint64_t revision = 0;
  std::optional<v1::Record> record;    // nothing: remove
  std::optional<v1::Record> previous;  // what the drivers last did for this key, if anything
  uint32_t attempts = 0;
  std::string error;  // of the last attempt
};

// Not thread-safe, but for what StateReader promises of readers beside it.
class StateWriter {
 public:
  // Makes the directory's files if there are none. DATA_LOSS when they are corrupt: remove and start from a
  // snapshot.
  static absl::StatusOr<std::unique_ptr<StateWriter>> Open(const std::string& directory);
  virtual ~StateWriter() = default;

  // One batch outside a snapshot: records and removals are stored, indexed and queued for the drivers; with
  // `to_revision` other than 0 the received cursor moves there. Applying it twice is the same as once.
  virtual absl::Status ApplyBatch(v1::Role role, const v1::Batch& batch) = 0;

  // A snapshot: batches are stored as they come; at the end what it did not name is removed, and only what
  // differs from before is queued for the drivers. An interrupted one starts over with BeginSnapshot.
  virtual absl::Status BeginSnapshot(v1::Role role) = 0;
  virtual absl::Status ApplySnapshotBatch(v1::Role role, const v1::Batch& batch) = 0;
  virtual absl::Status EndSnapshot(v1::Role role, uint64_t revision) = 0;

  // Oldest first, at most `limit`, those after `after_key` when paging.
  virtual absl::StatusOr<std::vector<PendingItem>> Pending(v1::Role role, size_t limit) = 0;
  // Takes the items' outcomes: done ones go, failed ones stay with their error and one more attempt.
  struct Outcome {
    std::string key;
    uint64_t revision = 0;  // an item replaced by a newer revision meanwhile stays
    absl::Status status;
  };
  virtual absl::Status Settle(v1::Role role, const std::vector<Outcome>& outcomes) = 0;

  // Durable: effects are done up to here, but for items that failed.
  virtual absl::Status SetApplied(v1::Role role, uint64_t revision) = 0;
  // Not made durable by itself; told on each heartbeat.
  virtual absl::Status ConfirmHead(v1::Role role, uint64_t head_revision,
                                   std::chrono::system_clock::time_point now) = 0;

  virtual absl::StatusOr<Freshness> GetFreshness(v1::Role role) = 0;

  // Walks all records of a role, in order of keys, in one read transaction. Stops at the first error.
  virtual absl::Status ForEachRecord(v1::Role role,
                                     const std::function<absl::Status(const v1::Record&)>& visit) = 0;
};

}  // namespace prov::state
