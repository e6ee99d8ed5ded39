// The one writer of the host's copy of its views. The agent alone opens it.
//
// Layout in LMDB: for each role its records by key; indexes by address and by login; items that drivers have
// yet to do; the cursor. A batch is one transaction, durable when the call returns.
#pragma once

#include <sys/types.h>

#include <chrono>
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

// What drivers have yet to do for one key. Survives restarts until settled.
struct PendingItem {
  std::string key;
  uint64_t ticket = 0;               // another one for each version of the key
  uint64_t revision = 0;             // of the record; 0 when it is a removal
  std::optional<v1::Record> record;  // nothing: remove
  // What drivers did, or began to do, for this key before, if anything; its web_names are those of all
  // versions since the last one that they came to an end with.
  std::optional<v1::Record> previous;
  uint64_t attempts = 0;
  std::string error;  // of the last attempt
};

// What a driver made of a pending item.
struct Outcome {
  std::string key;
  uint64_t ticket = 0;  // an item replaced by a newer version meanwhile stays
  absl::Status status;
  std::chrono::system_clock::time_point retry_at;  // when it failed
};

// What stands in the way (I4): items that drivers failed to do, and records that were rejected.
struct Failing {
  struct Item {
    std::string key;
    uint64_t revision = 0;
    std::string error;
    std::optional<std::chrono::system_clock::time_point> retry_at;  // nothing: rejected, waits for another
    uint64_t attempts = 0;
  };
  std::vector<Item> items;  // the first ones
  uint64_t count = 0;       // of all
};

// How many records one batch, or one snapshot, may remove: the greater of the two, or what an operator said.
struct RemovalLimit {
  uint64_t records = 10;
  uint64_t percent = 10;  // of the role's records
  uint64_t allowed = 0;
  // Removed by batches not long ago: with those a batch may come to the greater of `records_in_all` and the
  // percentage, so that many small steps are no way round.
  uint64_t earlier = 0;
  uint64_t records_in_all = 1000;
};

constexpr std::string_view kTooManyRemovals = "TOO_MANY_REMOVALS";  // ReasonOf

// No item is planned further ahead. One that is came of a clock that has been set back since, and is due now.
constexpr std::chrono::minutes kLongestRest{10};

struct WriterOptions {
  // Engines that read as another user are in this group.
  std::optional<gid_t> readers_group;
};

// Thread-safe. One role's batches must come in order, from one thread at a time; so must its settling, which
// may be another thread.
class StateWriter {
 public:
  // Makes the directory's files if there are none. DATA_LOSS when they are corrupt: remove and start from a
  // snapshot.
  static absl::StatusOr<std::unique_ptr<StateWriter>> Open(const std::string& directory,
                                                           const WriterOptions& options = {});
  virtual ~StateWriter() = default;

  // One batch outside a snapshot: records and removals are stored, indexed and queued for the drivers; with
  // `to_revision` other than 0 the received cursor moves there. Applying it twice is the same as once. A
  // record that CheckRecord refuses is noted as rejected and what was there before stays; the others go on.
  // FAILED_PRECONDITION with reason kTooManyRemovals, and nothing changed, when it removes too much.
  virtual absl::Status ApplyBatch(v1::Role role, const v1::Batch& batch, const RemovalLimit& limit = {}) = 0;

  // A snapshot: batches are stored as they come; at the end what it did not name is removed, and only what
  // differs from before is queued for the drivers. An interrupted one starts over with BeginSnapshot.
  virtual absl::Status BeginSnapshot(v1::Role role) = 0;
  virtual absl::Status ApplySnapshotBatch(v1::Role role, const v1::Batch& batch) = 0;
  // FAILED_PRECONDITION as for ApplyBatch; it may be called again.
  virtual absl::Status EndSnapshot(v1::Role role, uint64_t revision, const RemovalLimit& limit = {}) = 0;

  // What is due at `now`, at most `limit`: those never tried first, oldest first.
  virtual absl::StatusOr<std::vector<PendingItem>> Pending(v1::Role role,
                                                           std::chrono::system_clock::time_point now,
                                                           size_t limit) = 0;
  // When the next item is due, seen from `now`; the epoch for those never tried; nothing when there is none.
  virtual absl::StatusOr<std::optional<std::chrono::system_clock::time_point>> NextDue(
      v1::Role role, std::chrono::system_clock::time_point now) = 0;
  // Takes the items' outcomes: done ones go, failed ones stay with their error and one more attempt. The
  // applied cursor follows: effects are durable up to there, but for items that failed.
  virtual absl::Status Settle(v1::Role role, const std::vector<Outcome>& outcomes) = 0;
  // Queues records again whose effects were found to be missing. Keys without a record are ignored.
  virtual absl::Status Requeue(v1::Role role, const std::vector<std::string>& keys) = 0;
  // Whether drivers have yet to do something for the key, failed items included.
  virtual absl::StatusOr<bool> IsPending(v1::Role role, const std::string& key) = 0;
  // At most `limit` items.
  virtual absl::StatusOr<Failing> GetFailing(v1::Role role, size_t limit) = 0;

  // Not made durable by itself; told on each heartbeat.
  virtual absl::Status ConfirmHead(v1::Role role, uint64_t head_revision,
                                   std::chrono::system_clock::time_point now) = 0;

  virtual absl::StatusOr<Freshness> GetFreshness(v1::Role role) = 0;

  virtual absl::StatusOr<std::optional<v1::Record>> FindRecord(v1::Role role, const std::string& key) = 0;
  // How many records the role's view has.
  virtual absl::StatusOr<uint64_t> CountRecords(v1::Role role) = 0;

  // How many records batches have removed since the writer was opened.
  virtual uint64_t RemovedRecords(v1::Role role) const = 0;

  // Walks a role's records, those after `after_key`, in order of keys, in one read transaction. Stops at the
  // first error, and returns it.
  virtual absl::Status ForEachRecord(v1::Role role,
                                     const std::function<absl::Status(const v1::Record&)>& visit,
                                     std::string_view after_key = {}) = 0;
};

}  // namespace prov::state
