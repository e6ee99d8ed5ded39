// Which engines a host runs, and where others reach them.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "agents/config.h"

namespace prov {

// By service ("smtp", "lmtp", "pop3", "pop3_proxy", "control", …) for one role: the first address it listens
// on, as host:port. Where that is every address of the machine, the host's own name stands in.
std::map<std::string, std::string> EndpointsOf(const AgentConfig& config, v1::Role role);

// Whether any of them has an engine with a queue: relay or store.
bool HasQueue(const AgentConfig& config);

// Whether any of the host's roles has an engine that listens.
bool NeedsEngine(const AgentConfig& config);

// Whether any of them listens on a port that only the privileged may take (below 1024).
bool NeedsLowPorts(const AgentConfig& config);

// INVALID_ARGUMENT names the key whose address is no host:port, of those to listen on and of next hops.
absl::Status CheckAddresses(const AgentConfig& config);

}  // namespace prov
