// Gathers what is known of one subscriber, from the database, the directory and the agents, and explains it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "prov/v1/operations.pb.h"
#include "server/api/explanation.h"
#include "server/directory/publisher.h"
#include "server/feed/convergence.h"
#include "server/feed/feed.h"
#include "server/feed/fleet_watch.h"
#include "server/store/domain_repository.h"
#include "server/store/host_progress.h"
#include "server/store/read_snapshot.h"
#include "server/store/subscriber_repository.h"

namespace prov::api {

// Thread-safe. Asks PostgreSQL and slapd, and blocks for as long as they take: some seconds at most if the
// directory is away.
class Explainer {
 public:
  struct Parts {
    store::SubscriberRepository* subscribers = nullptr;
    store::DomainRepository* domains = nullptr;
    store::HostProgressRepository* progress = nullptr;
    store::SnapshotSource* snapshots = nullptr;
    feed::Convergence* convergence = nullptr;
    const feed::FleetWatch* fleet = nullptr;
    directory::Publisher* publisher = nullptr;
    directory::Publisher::Options options;  // the publisher's
    const Clock* clock = nullptr;
  };
  // All parts must outlive it.
  explicit Explainer(Parts parts) : parts_(std::move(parts)) {}

  // `name` as in ExplainRequest. NOT_FOUND when there is no such subscriber.
  absl::StatusOr<v1::Explanation> Explain(const std::string& name) const;

 private:
  DirectoryFacts AskDirectory(const model::Subscriber& subscriber, const feed::Follower& standing) const;
  absl::StatusOr<std::vector<HostFacts>> AskHosts(const model::Subscriber& subscriber,
                                                  const feed::Fleet& fleet,
                                                  const std::vector<feed::Follower>& followers) const;

  const Parts parts_;
};

}  // namespace prov::api
