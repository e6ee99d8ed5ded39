// One delta of one view: what changed after a revision, coalesced, as batches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "prov/v1/agent_sync.pb.h"
#include "server/feed/change_set.h"
#include "server/feed/view.h"

namespace prov::feed {

struct FeedLimits {
  size_t changes_per_round = 500;
  size_t records_per_batch = 500;     // removed keys count too
  size_t octets_per_batch = 1 << 20;  // a single larger record travels alone
  size_t rows_per_page = 2000;        // of a snapshot
  size_t cached_rounds = 4;           // per viewer
  size_t cached_change_sets = 8;
};

// Immutable, shared between streams.
struct Round {
  uint64_t from_revision = 0;
  uint64_t to_revision = 0;
  uint64_t head_revision = 0;          // when it was made
  std::vector<v1::Batch> batches;      // without nonces; to_revision on the last; at least one
  std::shared_ptr<const Fleet> fleet;  // set if pools or hosts changed
};

// What of `set` changed after `from`, as the viewer sees it. Each changed aggregate is sent once, as it is
// now; what is not in the view (any more) is named as removed.
Round MakeRound(const ChangeSet& set, const Viewer& viewer, uint64_t from, const FeedLimits& limits);

}  // namespace prov::feed
