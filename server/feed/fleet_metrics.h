// Where the directory and every host stand, for Prometheus: read from Convergence when it is asked for.
//
//   prov_head_revision                               of the newest write
//   prov_applied_revision{follower,role}             role is empty for the directory
//   prov_lag_revisions{follower,role}
//   prov_failing_items{follower,role}                set aside with an error (I4)
//   prov_follower_state{follower,role,state}         1 for the state it is in: current, behind, stuck, absent
#pragma once

#include <prometheus/collectable.h>

#include <vector>

#include "server/feed/convergence.h"

namespace prov::feed {

// Thread-safe. `convergence` must outlive it.
class FleetMetrics final : public prometheus::Collectable {
 public:
  explicit FleetMetrics(const Convergence& convergence) : convergence_(convergence) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Convergence& convergence_;
};

}  // namespace prov::feed
