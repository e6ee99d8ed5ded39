#include "agents/readiness.h"

#include <fmt/format.h>

namespace prov {

std::string Readiness::Observe(const std::vector<RoleStanding>& roles, bool engine_listens,
                               std::chrono::steady_clock::time_point now) {
  if (ready_) return "";
  std::string missing;
  for (const RoleStanding& role : roles) {
    const std::string text = WaitsFor(role, now);
    if (!text.empty())
      missing += fmt::format("{}{}: {}", missing.empty() ? "" : "; ", RoleName(role.role), text);
  }
  has_roles_ = missing.empty();
  if (has_roles_ && !engine_listens) missing = "the mail engine does not listen yet";
  ready_ = missing.empty();
  return missing;
}

std::string Readiness::WaitsFor(const RoleStanding& role, std::chrono::steady_clock::time_point now) {
  Goal& goal = goals_[role.role];
  if (goal.revision == 0 && role.provd.told) goal.revision = role.copy.head_revision;
  const bool has_copy = role.copy.received_revision != 0;
  if (goal.revision != 0) {
    goal.reached = goal.reached || (has_copy && role.copy.applied_revision >= goal.revision);
    if (goal.reached) return "";
    if (!has_copy) return fmt::format("takes in its first copy, {} records so far", role.records);
    return fmt::format("applied {} of {}", role.copy.applied_revision, goal.revision);
  }
  const bool away = role.provd.failed || now - started_ > kProvdPatience;
  if (has_copy) return away ? "" : "waits for provd";
  if (role.provd.error.empty()) return "waits for provd";
  return fmt::format("has no copy yet, and cannot follow provd: {}", role.provd.error);
}

}  // namespace prov
