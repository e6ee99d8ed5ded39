// From the change log to one agent's stream: a snapshot where needed, deltas after it.
//
// What changed (change_set.h) is read in one database snapshot, once for all streams, and then kept in
// memory: no database connection waits for a slow agent. Each view of it is a round (round.h); a stream holds
// one at a time. A snapshot for an agent is read page by page, each in a database snapshot of its own; a page
// may thus be newer than the revision that the agent's snapshot stands for, never older, and the delta that
// follows makes up the difference.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prov/v1/agent_sync.pb.h"
#include "server/feed/batch_filler.h"
#include "server/feed/round.h"
#include "server/feed/view.h"
#include "server/store/read_snapshot.h"

namespace prov::feed {

class FeedStream;

// Thread-safe.
class Feed {
 public:
  // `snapshots` must outlive the feed, and the feed its streams.
  explicit Feed(store::SnapshotSource& snapshots, FeedLimits limits = {});
  ~Feed();

  // A stream for an agent whose copy stands at `cursor_revision`. Reads the database.
  // PERMISSION_DENIED when there is no such host, it was evicted or banned, or does not play the role.
  absl::StatusOr<std::unique_ptr<FeedStream>> Open(const std::string& host, model::Role role,
                                                   uint64_t cursor_revision);

  struct FleetAtHead {
    Fleet fleet;
    uint64_t head_revision = 0;
  };
  absl::StatusOr<FleetAtHead> FleetNow();

 private:
  friend class FeedStream;
  struct ViewerCache;

  // What changed after `from`. Without a round: either nothing, or a snapshot is needed.
  struct Delta {
    std::shared_ptr<const Round> round;
    std::string_view snapshot_because;  // empty: none is needed
    uint64_t head_revision = 0;
  };
  // A round is made once for all streams that ask for the same one; the others wait for it. It shows the
  // truth at `not_before` or later: a stream never goes back to an older state of a record it has sent.
  absl::StatusOr<Delta> DeltaAfter(const Viewer& viewer, uint64_t from, uint64_t not_before);
  std::shared_ptr<ViewerCache> CacheOf(const Viewer& viewer);

  store::SnapshotSource& snapshots_;
  const FeedLimits limits_;
  ChangeSets change_sets_;
  std::mutex mutex_;  // guards caches_, not what is in them
  std::map<Viewer, std::shared_ptr<ViewerCache>> caches_;
};

// One agent's. Not thread-safe. Next reads the database and may block.
class FeedStream {
 public:
  struct Step {
    std::optional<v1::SyncResponse> message;
    bool more = false;  // call again, even though there may be no message this time
  };
  // What the agent is to be sent next. Without `more` it has been sent all that was there at head_revision().
  // UNAVAILABLE when the database is away: call again later. PERMISSION_DENIED when the host may no longer
  // follow.
  absl::StatusOr<Step> Next();

  // Where the agent's copy stands once it has taken in all that was sent.
  uint64_t sent_revision() const { return position_; }
  // Of the last batch or snapshot end; 0: none yet.
  uint64_t last_nonce() const { return nonce_; }
  // A snapshot is to be sent, or is being sent.
  bool in_snapshot() const { return phase_ != Phase::kDelta; }
  // As last read, with what was asked of it.
  const model::Host& host() const { return host_; }
  // The newest write that is known to this stream.
  uint64_t head_revision() const { return head_revision_; }

 private:
  friend class Feed;
  enum class Phase { kBegin, kDomains, kMailingLists, kMembers, kSubscribers, kMailboxMoves, kEnd, kDelta };

  FeedStream(Feed& feed, model::Host host, model::Role role, Viewer viewer, uint64_t cursor, uint64_t head);

  absl::StatusOr<Step> NextOfDelta();
  absl::StatusOr<Step> NextOfSnapshot();
  absl::StatusOr<Step> BeginSnapshot();
  // The first phase from `phase` on of which the view has records.
  Phase SeenFrom(Phase phase) const;
  absl::Status ReadPage();
  // Each returns whether it was the last page of its kind.
  absl::StatusOr<bool> ReadDomainPage(store::ReadSnapshot& snapshot);
  absl::StatusOr<bool> ReadMailingListPage(store::ReadSnapshot& snapshot);
  absl::StatusOr<bool> ReadMemberPage(store::ReadSnapshot& snapshot);
  absl::StatusOr<bool> ReadSubscriberPage();
  absl::StatusOr<bool> ReadMailboxMovePage(store::ReadSnapshot& snapshot);
  Step EndSnapshot();
  Step Send(v1::Batch batch);
  void StartOver(std::string_view because);
  // Keeps what the fleet says of the host. PERMISSION_DENIED when it may not follow any more.
  absl::Status TakeHost(const Fleet& fleet);

  Feed& feed_;
  model::Host host_;
  const model::Role role_;
  Viewer viewer_;

  Phase phase_ = Phase::kDelta;
  uint64_t position_ = 0;
  uint64_t nonce_ = 0;
  uint64_t head_revision_ = 0;  // the newest state that was read for this stream

  // A snapshot under way: at most two pages and one batch wait here.
  uint64_t snapshot_revision_ = 0;
  std::string last_domain_;
  std::string last_mailing_list_;
  std::string last_member_list_, last_member_;
  int64_t last_subscriber_ = 0;
  int64_t last_mailbox_move_ = 0;
  BatchFiller filler_;
  // The page after the one that is being sent: the database reads while we write.
  struct SubscriberPage {
    std::vector<model::Subscriber> subscribers;
    uint64_t head_revision = 0;
  };
  std::future<absl::StatusOr<SubscriberPage>> next_subscribers_;

  // A delta under way.
  std::shared_ptr<const Round> round_;
  size_t next_batch_ = 0;
};

}  // namespace prov::feed
