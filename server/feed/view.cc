#include "server/feed/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace prov::feed {
namespace {

using model::Role;

constexpr std::array kRoles = {
    std::pair{Role::kRelay, v1::RELAY},
    std::pair{Role::kStore, v1::STORE},
    std::pair{Role::kOutbound, v1::OUTBOUND},
    std::pair{Role::kList, v1::LIST},
    std::pair{Role::kPopProxy, v1::POP_PROXY},
    std::pair{Role::kFtp, v1::FTP},
    std::pair{Role::kWeb, v1::WEB},
};

const model::Pool* PoolOfRole(const model::Host& host, Role role, const Fleet& fleet) {
  for (const std::string& id : host.pools) {
    const model::Pool* pool = fleet.FindPool(id);
    if (pool != nullptr && pool->role == role) return pool;
  }
  return nullptr;
}

}  // namespace

const model::Pool* Fleet::FindPool(const std::string& id) const {
  const auto found =
      std::find_if(pools.begin(), pools.end(), [&](const auto& pool) { return pool.id == id; });
  return found == pools.end() ? nullptr : &*found;
}

const model::Host* Fleet::FindHost(const std::string& id) const {
  const auto found =
      std::find_if(hosts.begin(), hosts.end(), [&](const auto& host) { return host.id == id; });
  return found == hosts.end() ? nullptr : &*found;
}

bool MayFollow(const model::Host& host, Role role, const Fleet& fleet) {
  return host.IsInService() && PoolOfRole(host, role, fleet) != nullptr;
}

Viewer ViewerOf(const model::Host& host, Role role, const Fleet& fleet) {
  Viewer viewer{.role = role};
  if (role == Role::kStore || role == Role::kList) {
    const model::Pool* pool = PoolOfRole(host, role, fleet);
    if (pool != nullptr) viewer.pool = pool->id;
  }
  return viewer;
}

bool SeesDomains(Role role) { return role == Role::kRelay || role == Role::kStore || role == Role::kList; }

bool SeesSubscribers(Role role) { return role != Role::kList && role != Role::kOutbound; }

bool SeesMailingLists(Role role) { return role == Role::kRelay || role == Role::kList; }

bool SeesMembers(Role role) { return role == Role::kList; }

bool SeesMailboxMoves(Role role) { return role == Role::kStore; }

bool SeesPool(Role role, Role pool) {
  switch (role) {
    case Role::kRelay:
      return pool == Role::kStore || pool == Role::kList || pool == Role::kRelay;
    case Role::kPopProxy:
      return pool == Role::kStore || pool == Role::kPopProxy;
    case Role::kStore:
      return pool == Role::kStore;
    case Role::kList:
      return pool == Role::kRelay;
    default:
      return false;
  }
}

bool SeesPools(Role role) {
  return role == Role::kRelay || role == Role::kStore || role == Role::kPopProxy || role == Role::kList;
}

std::string SubscriberKey(int64_t id) { return fmt::format("subscribers/{}", id); }
std::string DomainKey(const std::string& name) { return "domains/" + name; }
std::string MailboxMoveKey(int64_t id) { return fmt::format("moves/{}", id); }
std::string PoolKey(const std::string& id) { return "pools/" + id; }
std::string MailingListKey(const std::string& key) { return "lists/" + key; }

v1::Role ToProto(Role role) {
  for (const auto& [ours, theirs] : kRoles) {
    if (ours == role) return theirs;
  }
  return v1::ROLE_UNSPECIFIED;
}

std::optional<Role> FromProto(v1::Role role) {
  for (const auto& [ours, theirs] : kRoles) {
    if (theirs == role) return ours;
  }
  return std::nullopt;
}

}  // namespace prov::feed
