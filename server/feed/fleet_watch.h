// Keeps what convergence knows in step with the database: the newest write, whom to wait for, and how far
// those hosts are that follow another provd.
#pragma once

#include "absl/status/statusor.h"
#include "server/feed/convergence.h"
#include "server/feed/feed.h"
#include "server/store/host_progress.h"

namespace prov::feed {

// Thread-safe.
class FleetWatch {
 public:
  // All must outlive it.
  FleetWatch(Feed& feed, Convergence& convergence, store::HostProgressRepository& progress)
      : feed_(feed), convergence_(convergence), progress_(progress) {}

  // Asks the database. UNAVAILABLE when it is away; convergence stays as it is then.
  absl::StatusOr<Feed::FleetAtHead> Refresh() const;

 private:
  Feed& feed_;
  Convergence& convergence_;
  store::HostProgressRepository& progress_;
};

}  // namespace prov::feed
