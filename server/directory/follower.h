// The publisher's work, without its thread: changes after the cursor, or everything, and what failed before.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/clock.h"
#include "server/directory/failing.h"
#include "server/directory/session.h"
#include "server/directory/truth.h"
#include "server/store/read_snapshot.h"

namespace prov::directory {

struct FollowerOptions {
  MappingOptions mapping;
  size_t batch_entries = 500;
  // A full pass that would remove more entries than this, and more than a tenth of all, stops instead: that
  // is rather a wrong database than so many closed subscribers.
  size_t most_removals = 100;
  // The same for changes, from the time when the directory was last current.
  size_t most_changed_removals = 1000;
  // How many removals an operator has approved, now; empty: none.
  std::function<uint64_t()> approved_removals;
  RetryOptions retry;
};

// Not thread-safe. Every function may be broken off at any point and called again, here or after a restart
// (I3).
class Follower {
 public:
  // `progress` is called after each batch; false stops the work (CANCELLED).
  Follower(store::SnapshotSource& source, const Clock& clock, FollowerOptions options,
           std::function<bool(const Session&)> progress);

  // Brings the directory to the newest revision. The session has its layout and a fresh cursor.
  absl::Status CatchUp(Session& session);
  // Compares every entry with the truth and mends what differs, whatever the cursor says.
  absl::Status CompareAll(Session& session);
  // Tries again what is due.
  absl::Status RetryFailing(Session& session);

  const FailingRecords& failing() const { return failing_; }

 private:
  // The changes after a revision, and how the truth stood when they were read.
  struct Page {
    uint64_t after_revision = 0;
    uint64_t head_revision = 0;
    bool needs_full_pass = false;  // then nothing else was read
    uint64_t to_revision = 0;
    std::vector<Item> items;
  };
  absl::StatusOr<Page> ReadPage(uint64_t after_revision) const;
  // What was read ahead, if it fits, else read now.
  absl::StatusOr<Page> TakePage(uint64_t after_revision);
  absl::Status PublishPage(Session& session, Page page);
  absl::Status Publish(Session& session, const std::vector<Item>& items, uint64_t next_revision);
  absl::Status FullPass(Session& session, store::ReadSnapshot& snapshot);
  // FAILED_PRECONDITION if that many of `entries` may not be removed; up to `to_come` more may follow.
  absl::Status CheckRemovals(size_t removals, size_t to_come, size_t entries, size_t most,
                             std::string_view what) const;
  absl::Status CountRemovals(const Page& page);
  absl::Status RemoveExtra(Session& session, const KnownKeys& known, uint64_t next_revision);

  store::SnapshotSource& source_;
  const FollowerOptions options_;
  const std::function<bool(const Session&)> progress_;
  FailingRecords failing_;
  // The page after the one that is being written: the database is read while the directory writes.
  std::future<absl::StatusOr<Page>> ahead_;
  // A connection that was lost in a transaction: the next batch goes singly, so that a batch that kills the
  // server does not do so for ever.
  bool singly_ = false;
  size_t removed_ = 0;     // by changes since the directory was last current
  bool compared_ = false;  // a full pass has been made, though the cursor may still be 0
};

// What the directory has and the truth has not. Adds to `entries` how many of ours there are.
absl::StatusOr<std::vector<Item>> FindExtra(Session& session, const KnownKeys& known, size_t* entries);

}  // namespace prov::directory
