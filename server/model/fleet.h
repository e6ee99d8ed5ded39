// Pools of hosts, each pool with one role.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/model/subscriber.h"

namespace prov::model {

enum class Role { kRelay, kStore, kOutbound, kList, kPopProxy, kFtp, kWeb };

// "relay", "store", "outbound", "list", "pop-proxy", "ftp", "web": as stored, configured and shown.
std::string_view RoleName(Role role);
// Nothing for a name that is none of these.
std::optional<Role> RoleOfName(std::string_view name);

struct Pool {
  std::string id;  // "main"
  Role role = Role::kStore;
  uint32_t weight = 1;
  int64_t mailboxes = 0;  // of a store pool; purged ones are not
  Time create_time;
  Time update_time;
  uint64_t revision = 0;
};

enum class HostState { kServing, kDrained, kEvicted, kBanned };

// "serving", "drained", "evicted", "banned": as stored and shown.
std::string_view HostStateName(HostState state);

struct Host {
  std::string id;                  // "store1"
  std::vector<std::string> pools;  // ids
  uint32_t weight = 1;
  HostState state = HostState::kServing;
  std::map<std::string, std::string> endpoints;  // service -> host:port; told by the agent
  Time create_time;
  Time update_time;
  uint64_t revision = 0;
  uint64_t inspection = 0;          // how often one has been asked for
  bool inspection_repairs = false;  // and whether the last is to mend what differs

  // Its agents may follow, and sessions that it has go on.
  bool IsInService() const { return state == HostState::kServing || state == HostState::kDrained; }
};

}  // namespace prov::model
