// The agent at work: follows provd for each of the host's roles, and keeps the mail engine running.
#pragma once

#include "agents/config.h"

namespace prov {

// Until SIGTERM or SIGINT, or until the host's copy can no longer be read or written; the process's exit
// status. `runs_engine`: where a role has one; otherwise it has a supervisor of its own. To be called from
// the main thread, before there are others: it blocks the signals that it waits for.
int RunAgent(const AgentConfig& config, bool runs_engine);

}  // namespace prov
