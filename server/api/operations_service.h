// How far a change has come, and whether all is well.
//
// A host that serves or is drained counts, connected or not: WaitForRevision does not converge while one is
// ABSENT that has not applied the revision, and names it. Evict the host to go on without it.
#pragma once

#include <memory>
#include <string>

#include "common/clock.h"
#include "server/feed/convergence.h"
#include "server/feed/feed.h"
#include "server/feed/fleet_watch.h"
#include "server/store/read_snapshot.h"
#include "server/store/revision_watch.h"

namespace grpc {
class Service;
}

namespace prov::api {

class Authoriser;
class Explainer;
class Workers;

// Thread-safe. At the end, in this order: ShutDown, the gRPC server's Shutdown, Workers::Stop; only then may
// the service, and what its parts point to, be destroyed.
class OperationsService {
 public:
  struct Parts {
    feed::Convergence* convergence = nullptr;
    const feed::FleetWatch* fleet = nullptr;
    store::SnapshotSource* snapshots = nullptr;
    store::RevisionWatch* watch = nullptr;
    Workers* workers = nullptr;
    const Authoriser* authoriser = nullptr;  // must not block: it is asked on gRPC's threads
    const Clock* clock = nullptr;
    const Explainer* explainer = nullptr;  // without it Explain is UNIMPLEMENTED
    std::string version;                   // of provd
  };
  explicit OperationsService(const Parts& parts);
  ~OperationsService();

  grpc::Service* service();

  // Ends all streams with UNAVAILABLE and refuses new calls; returns when none is left. Call it before
  // grpc::Server::Shutdown, and not on a gRPC or worker thread.
  void ShutDown();

  // For tests and metrics.
  size_t open_streams() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace prov::api
