#include "agents/engine_metrics.h"

#include <prometheus/gauge.h>

#include "agents/config.h"
#include "common/metrics.h"

namespace prov {
namespace {

prometheus::Family<prometheus::Gauge>& Family(const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*MetricsRegistry());
}

}  // namespace

void UpdateSessionMetrics(const SessionCounts& sessions) {
  static auto& open = Family("prov_engine_sessions", "Sessions and deliveries under way, by role.");
  for (const auto& [role, count] : sessions)
    open.Add({{"role", RoleName(role)}}).Set(static_cast<double>(count));
}

void UpdateQueueMetrics(const std::string& queue, size_t messages) {
  static auto& waiting =
      Family("prov_queue_messages", "Messages that wait or are being delivered, by queue.");
  waiting.Add({{"queue", queue}}).Set(static_cast<double>(messages));
}

void UpdateTraceMetrics(uint64_t lost) {
  static auto& lines = Family("prov_trace_lines_lost", "Lines of the trace that could not be kept.");
  lines.Add({}).Set(static_cast<double>(lost));
}

}  // namespace prov
