// When a host may call itself ready: whoever is sent there from then on is served as everywhere else.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "agents/config.h"
#include "agents/state/reader.h"
#include "agents/sync/role_sync.h"

namespace prov {

// With a copy from before, provd is waited for no longer than this (I5).
constexpr std::chrono::seconds kProvdPatience{10};

struct RoleStanding {
  v1::Role role = v1::ROLE_UNSPECIFIED;
  sync::ProvdStanding provd;
  state::Freshness copy;
  uint64_t records = 0;  // in the copy, a snapshot that is under way included
};

// A role is ready when everything that provd had when it was first heard is applied, or when there is a copy
// from before and provd is away; the host when all roles are and its engine listens. What was ready stays so:
// later the host follows like any other.
class Readiness {
 public:
  explicit Readiness(std::chrono::steady_clock::time_point started) : started_(started) {}

  // What is waited for, for people, role by role; empty: ready.
  std::string Observe(const std::vector<RoleStanding>& roles, bool engine_listens,
                      std::chrono::steady_clock::time_point now);
  // Whether all roles are, and only the engine may be missing.
  bool has_roles() const { return has_roles_; }
  bool ready() const { return ready_; }

 private:
  std::string WaitsFor(const RoleStanding& role, std::chrono::steady_clock::time_point now);

  struct Goal {
    uint64_t revision = 0;  // 0: provd was not heard yet
    bool reached = false;
  };

  const std::chrono::steady_clock::time_point started_;
  std::map<v1::Role, Goal> goals_;
  bool has_roles_ = false, ready_ = false;
};

}  // namespace prov
