// The agents' streams: who may follow what, hand it out at the agent's pace, and take in how far it came.
#pragma once

#include <memory>

#include "common/clock.h"
#include "server/feed/convergence.h"
#include "server/feed/feed.h"
#include "server/feed/fleet_watch.h"
#include "server/store/agent_claim.h"
#include "server/store/host_progress.h"
#include "server/store/revision_watch.h"

namespace grpc {
class Service;
}

namespace prov::api {

class Authoriser;
class Workers;

// Thread-safe. At the end, in this order: ShutDown, the gRPC server's Shutdown, Workers::Stop; only then may
// the service, and what its parts point to, be destroyed.
class AgentSyncService {
 public:
  struct Parts {
    feed::Feed* feed = nullptr;
    feed::Convergence* convergence = nullptr;
    const feed::FleetWatch* fleet = nullptr;
    store::RevisionWatch* watch = nullptr;
    store::HostProgressRepository* progress = nullptr;
    store::AgentClaims* claims = nullptr;
    Workers* workers = nullptr;
    const Authoriser* authoriser = nullptr;  // must not block: it is asked on gRPC's threads
    const Clock* clock = nullptr;
  };
  explicit AgentSyncService(const Parts& parts);
  ~AgentSyncService();

  grpc::Service* service();

  // Ends all streams with UNAVAILABLE and refuses new ones; returns when none is left. Call it before
  // grpc::Server::Shutdown, and not on a gRPC or worker thread.
  void ShutDown();

  // For tests and metrics.
  size_t open_streams() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace prov::api
