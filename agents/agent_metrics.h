// How far each role of this host is, and how its engine fares, for Prometheus.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "agents/config.h"
#include "agents/state/writer.h"

namespace prov {

struct RoleHealth {
  v1::Role role = v1::ROLE_UNSPECIFIED;
  bool connected = false;
  uint64_t drifting = 0;
  uint64_t applied_items = 0;
};

// Sets the gauges; to be called about once a second. What cannot be read keeps its last value.
void UpdateAgentMetrics(state::StateWriter& state, const std::vector<RoleHealth>& roles);

// Of the engine that this agent starts; an agent that starts none shows none.
void UpdateEngineMetrics(bool running, uint64_t starts);

// How long this host's certificate is good, and how often in a row its renewal has failed.
void UpdateCertificateMetrics(std::chrono::system_clock::time_point expires, uint64_t failures);

// When a broken copy was put aside last; the epoch: never.
void UpdateStateMetrics(std::chrono::system_clock::time_point broken);

// What of the data of purged subscribers this host watches over, and has removed since its start.
void UpdatePurgeMetrics(uint64_t waiting, uint64_t removed);

}  // namespace prov
