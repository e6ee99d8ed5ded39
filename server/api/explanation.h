// What keeps a subscriber from logging in or getting mail: pure, from facts that somebody else has gathered.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "prov/v1/operations.pb.h"
#include "server/feed/convergence.h"
#include "server/model/domain.h"
#include "server/model/fleet.h"
#include "server/model/subscriber.h"

namespace prov::api {

struct DirectoryFacts {
  std::string unreachable;  // why the entry could not be read; empty: it was
  bool missing = false;
  std::vector<std::string> differing;  // attributes by name
  std::string refused;                 // what the directory says to the publisher about this entry
  uint64_t applied_revision = 0;
  std::optional<std::chrono::milliseconds> time_to_go;
  std::string cause;  // why the publisher does not move
};

// A host that has to do with the subscriber, in one of its roles.
struct HostFacts {
  std::string host;
  model::Role role = model::Role::kStore;
  model::HostState state = model::HostState::kServing;
  feed::Follower standing;  // towards the subscriber's last change
  std::string failing;      // what the host says about this subscriber; empty: nothing
};

struct SubscriberFacts {
  model::Subscriber subscriber;
  std::string asked_for;                // an address of the subscriber; empty: the login
  std::optional<model::Domain> domain;  // of the login
  DirectoryFacts directory;
  std::vector<HostFacts> hosts;  // of the store pool, and of roles that serve everybody
};

v1::Explanation Explain(const SubscriberFacts& facts);

}  // namespace prov::api
