// What changed after a revision, and how it is now: read once, for whoever follows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/feed/view.h"
#include "server/store/read_snapshot.h"

namespace prov::feed {

// Immutable, shared between streams.
struct ChangeSet {
  uint64_t after_revision = 0;
  uint64_t to_revision = 0;
  uint64_t head_revision = 0;  // when it was read; the states below are as of then

  // The last change of each aggregate.
  std::map<int64_t, uint64_t> subscriber_changes;
  std::map<std::string, uint64_t> domain_changes;
  std::map<std::string, uint64_t> mailing_list_changes;
  std::map<std::string, uint64_t> member_changes;  // by model::MemberKey
  std::map<int64_t, uint64_t> mailbox_move_changes;
  std::map<std::string, uint64_t> pool_changes;
  uint64_t fleet_change = 0;  // of any pool or host; 0: none

  std::vector<model::Subscriber> subscribers;  // those that changed and exist; the others likewise
  std::vector<model::Domain> domains;
  std::vector<model::MailingList> mailing_lists;
  std::vector<model::Member> members;
  std::vector<model::MailboxMove> mailbox_moves;
  std::shared_ptr<const Fleet> fleet;  // set if pools or hosts changed
};

absl::StatusOr<Fleet> ReadFleet(store::ReadSnapshot& snapshot);

// About `limit` changes; `after` must be below the snapshot's head and not below its compacted revision.
absl::StatusOr<ChangeSet> ReadChangeSet(store::ReadSnapshot& snapshot, uint64_t after, size_t limit);

// Keeps the newest sets, so that the database is asked once however many agents follow. Thread-safe.
class ChangeSets {
 public:
  // `snapshots` must outlive this.
  ChangeSets(store::SnapshotSource& snapshots, size_t changes_per_set, size_t kept)
      : snapshots_(snapshots), changes_per_set_(changes_per_set), kept_(kept) {}

  // Without a set: either nothing changed, or a snapshot is needed.
  struct Found {
    std::shared_ptr<const ChangeSet> set;  // after_revision may be below `from`: it holds some that are known
    std::string_view snapshot_because;     // empty: none is needed
    uint64_t head_revision = 0;
  };
  // What changed after `from`, as of `not_before` or later. Streams that ask for about the same wait for one
  // reader, and so fall into step.
  absl::StatusOr<Found> After(uint64_t from, uint64_t not_before);

 private:
  struct Slot {
    uint64_t after_revision = 0;
    std::mutex mutex;                      // held while the set is read
    std::shared_ptr<const ChangeSet> set;  // null if reading failed, or found none
  };

  std::shared_ptr<const ChangeSet> Kept(uint64_t from, uint64_t not_before, std::shared_ptr<Slot>& fresh,
                                        std::unique_lock<std::mutex>& reading);
  absl::StatusOr<Found> Read(uint64_t from);
  void Forget(const std::shared_ptr<Slot>& slot);

  store::SnapshotSource& snapshots_;
  const size_t changes_per_set_;
  const size_t kept_;
  std::mutex mutex_;                         // guards slots_, not what is in them
  std::deque<std::shared_ptr<Slot>> slots_;  // the newest first
};

}  // namespace prov::feed
