// What one role's hosts get to see, and who may look; projection.h makes the records.
//
// Pure. Each role is given the kinds and the fields that it needs, and no others (I8):
//
//   relay      HostedDomain, MailRoute of subscribers and lists, PoolMembers of store, list and relay pools
//   store      HostedDomain, Mailbox and MailboxTransit of its own pool, PoolMembers of store pools
//   list       HostedDomain, ExpandedList and ListMember of its own pool, PoolMembers of relay pools
//   pop-proxy  LoginRoute, PoolMembers of store and pop-proxy pools
//   ftp, web   Account, with plan for ftp and web_names for web alone
//   outbound   nothing yet
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "prov/v1/agent_sync.pb.h"
#include "server/model/fleet.h"

namespace prov::feed {

// All pools and hosts; the fleet is small.
struct Fleet {
  std::vector<model::Pool> pools;
  std::vector<model::Host> hosts;

  const model::Pool* FindPool(const std::string& id) const;
  const model::Host* FindHost(const std::string& id) const;
};

// For whom a view is made. Hosts whose viewers are equal are sent the same.
struct Viewer {
  model::Role role = model::Role::kRelay;
  std::string pool;  // that the host plays the role in; only set where the view depends on it (store, list)

  auto operator<=>(const Viewer&) const = default;
};

// A host may follow while it is serving or drained and one of its pools has the role.
bool MayFollow(const model::Host& host, model::Role role, const Fleet& fleet);

// The first of the host's pools with the role. MayFollow must hold.
Viewer ViewerOf(const model::Host& host, model::Role role, const Fleet& fleet);

// Whether the role's view has records of the kind at all.
bool SeesDomains(model::Role role);
bool SeesSubscribers(model::Role role);
bool SeesMailingLists(model::Role role);
bool SeesMembers(model::Role role);  // of mailing lists
bool SeesMailboxMoves(model::Role role);
// Whether the view tells who is in pools of `pool`'s role, and of any role at all.
bool SeesPool(model::Role role, model::Role pool);
bool SeesPools(model::Role role);

std::string SubscriberKey(int64_t id);           // "subscribers/1042"
std::string DomainKey(const std::string& name);  // "domains/example.net"
std::string PoolKey(const std::string& id);      // "pools/main"
std::string MailboxMoveKey(int64_t id);          // "moves/17"
// "lists/staff@example.net", and of a model::MemberKey "lists/staff@example.net/members/bob@example.org".
std::string MailingListKey(const std::string& key);

v1::Role ToProto(model::Role role);
// Nothing for ROLE_UNSPECIFIED and what a newer agent may know.
std::optional<model::Role> FromProto(v1::Role role);

}  // namespace prov::feed
