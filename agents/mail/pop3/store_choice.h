// Which stores may serve a login, the best one first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/state/reader.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::pop3 {

// Pure. POP3 endpoints of a pool's hosts, in an order that depends on the login alone, so that one mailbox
// stays on one clone (rendezvous hashing, by weight): a host that comes or goes moves only its own share.
// Drained ones come last: they serve when nobody else does.
std::vector<std::string> OrderStores(const v1::PoolMembers& pool, std::string_view login);

// NOT_FOUND when there is no such login; UNAVAILABLE when it cannot be told now, or its pool has no host.
absl::StatusOr<std::vector<std::string>> StoresFor(state::StateReader& state, std::string_view login);

}  // namespace prov::pop3
