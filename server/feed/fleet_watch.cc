#include "server/feed/fleet_watch.h"

#include "common/status.h"

namespace prov::feed {

absl::StatusOr<Feed::FleetAtHead> FleetWatch::Refresh() const {
  PROV_ASSIGN_OR_RETURN(const Feed::FleetAtHead now, feed_.FleetNow());
  convergence_.SetHead(now.head_revision);
  convergence_.SetFleet(now.fleet, now.head_revision);
  PROV_ASSIGN_OR_RETURN(const std::vector<store::HostProgress> progress, progress_.All());
  convergence_.SetElsewhere(progress);
  return now;
}

}  // namespace prov::feed
