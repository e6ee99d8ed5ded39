#include "server/model/fleet.h"

#include <array>

namespace prov::model {
namespace {

constexpr std::array kRoles = {Role::kRelay,    Role::kStore, Role::kOutbound, Role::kList,
                               Role::kPopProxy, Role::kFtp,   Role::kWeb};

}  // namespace

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kRelay:
      return "relay";
    case Role::kStore:
      return "store";
    case Role::kOutbound:
      return "outbound";
    case Role::kList:
      return "list";
    case Role::kPopProxy:
      return "pop-proxy";
    case Role::kFtp:
      return "ftp";
    case Role::kWeb:
      return "web";
  }
  return "unknown";
}

std::optional<Role> RoleOfName(std::string_view name) {
  for (const Role role : kRoles) {
    if (RoleName(role) == name) return role;
  }
  return std::nullopt;
}

std::string_view HostStateName(HostState state) {
  switch (state) {
    case HostState::kServing:
      return "serving";
    case HostState::kDrained:
      return "drained";
    case HostState::kEvicted:
      return "evicted";
    case HostState::kBanned:
      return "banned";
  }
  return "serving";
}

}  // namespace prov::model
