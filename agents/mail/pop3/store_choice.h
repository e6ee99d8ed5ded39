// Which stores may serve a login, the best one first.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/state/reader.h"
#include "common/clock.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::pop3 {

// Pure. POP3 endpoints of a pool's hosts, in an order that depends on the login alone, so that one mailbox
// stays on one clone (rendezvous hashing, by weight): a host that comes or goes moves only its own share.
// Drained ones come last: they serve when nobody else does.
std::vector<std::string> OrderStores(const v1::PoolMembers& pool, std::string_view login);

// A store that could not be reached is tried last for so long.
constexpr std::chrono::seconds kUnreachableRest(10);

// Thread-safe.
class StoreChoice {
 public:
  explicit StoreChoice(state::StateReader& state, const Clock& clock = SystemClock());
  StoreChoice(StoreChoice&&) noexcept;
  ~StoreChoice();

  // For a login in its folded form. An unknown one is sent where the latest known one went, to be refused
  // there in the same words and the same time as a wrong password. NOT_FOUND when it is unknown and nowhere
  // is known to send it; UNAVAILABLE when it cannot be told now, or its pool has no host.
  absl::StatusOr<std::vector<std::string>> For(std::string_view login);

  void MarkUnreachable(const std::string& endpoint);

 private:
  struct Memory;
  absl::StatusOr<std::vector<std::string>> InPool(const std::string& pool, std::string_view login);

  state::StateReader& state_;
  const Clock& clock_;
  std::unique_ptr<Memory> memory_;
};

}  // namespace prov::pop3
