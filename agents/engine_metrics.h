// What the engine tells Prometheus of itself; mail and logins are counted where they happen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "agents/engine_status.h"

namespace prov {

// Sessions and deliveries under way, by role.
void UpdateSessionMetrics(const SessionCounts& sessions);

// Of the queue of that name: messages that are not finished, as far as they were read.
void UpdateQueueMetrics(const std::string& queue, size_t messages);

// Lines of the trace that could not be kept since the start.
void UpdateTraceMetrics(uint64_t lost);

}  // namespace prov
