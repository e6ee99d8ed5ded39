#include "agents/agent_metrics.h"

#include <prometheus/gauge.h>

#include <string>

#include "common/metrics.h"

namespace prov {
namespace {

prometheus::Family<prometheus::Gauge>& Family(const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*MetricsRegistry());
}

}  // namespace

void UpdateAgentMetrics(state::StateWriter& state, const std::vector<RoleHealth>& roles) {
  static auto& connected = Family("prov_agent_connected", "Whether provd is connected, by role.");
  static auto& received = Family("prov_agent_received_revision", "The host's copy is durable up to here.");
  static auto& applied = Family("prov_agent_applied_revision", "Effects are durable up to here.");
  static auto& head = Family("prov_agent_head_revision", "The newest write that provd told of.");
  static auto& failing =
      Family("prov_agent_failing_items", "Records rejected, and items that drivers failed to do.");
  static auto& drifting =
      Family("prov_agent_drifting_records", "What the last inspection found and did not mend.");
  static auto& items = Family("prov_agent_applied_items",
                              "Changes that drivers have made on the host since the agent started.");
  for (const RoleHealth& role : roles) {
    const std::map<std::string, std::string> labels = {{"role", RoleName(role.role)}};
    connected.Add(labels).Set(role.connected ? 1 : 0);
    items.Add(labels).Set(static_cast<double>(role.applied_items));
    drifting.Add(labels).Set(static_cast<double>(role.drifting));
    const auto freshness = state.GetFreshness(role.role);
    const auto troubles = state.GetFailing(role.role, 0);
    if (!freshness.ok() || !troubles.ok()) continue;
    received.Add(labels).Set(static_cast<double>(freshness->received_revision));
    applied.Add(labels).Set(static_cast<double>(freshness->applied_revision));
    head.Add(labels).Set(static_cast<double>(freshness->head_revision));
    failing.Add(labels).Set(static_cast<double>(troubles->count));
  }
}

void UpdateEngineMetrics(bool running, uint64_t starts) {
  static auto& engine = Family("prov_agent_engine_running", "Whether the mail engine runs.");
  static auto& started = Family("prov_agent_engine_starts", "How often the mail engine was started.");
  engine.Add({}).Set(running ? 1 : 0);
  started.Add({}).Set(static_cast<double>(starts));
}

void UpdateCertificateMetrics(std::chrono::system_clock::time_point expires, uint64_t failures) {
  static auto& expiry = Family("prov_agent_certificate_expiry_time_seconds",
                               "When the host's certificate expires, in seconds since 1970.");
  static auto& failed = Family("prov_agent_certificate_renewal_failures",
                               "How often in a row the certificate could not be renewed.");
  expiry.Add({}).Set(std::chrono::duration<double>(expires.time_since_epoch()).count());
  failed.Add({}).Set(static_cast<double>(failures));
}

void UpdateStateMetrics(std::chrono::system_clock::time_point broken) {
  static auto& time = Family("prov_agent_state_broken_time_seconds",
                             "When a broken copy was put aside last, in seconds since 1970; 0: never.");
  time.Add({}).Set(std::chrono::duration<double>(broken.time_since_epoch()).count());
}

void UpdatePurgeMetrics(uint64_t waiting, uint64_t removed) {
  static auto& kept =
      Family("prov_agent_purged_waiting", "Purged mailboxes and homes that are kept for a while.");
  static auto& gone =
      Family("prov_agent_purged_removed", "Purged mailboxes and homes removed since the start.");
  kept.Add({}).Set(static_cast<double>(waiting));
  gone.Add({}).Set(static_cast<double>(removed));
}

}  // namespace prov
