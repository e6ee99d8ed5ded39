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

struct Store {
  std::string host;      // as in the fleet
  std::string endpoint;  // host:port

  bool operator==(const Store&) const = default;
};

// Pure. Where a pool's hosts serve `service` ("pop3", "pop3s"), in an order that depends on the login alone,
// so that one mailbox stays on one clone (rendezvous hashing, by weight): a host that comes or goes moves
// only its own share. Drained ones come last: they serve when nobody else does.
std::vector<Store> OrderStores(const v1::PoolMembers& pool, std::string_view login,
                               const std::string& service);

// A store that could not be reached is tried last for so long; then one login at a time tries it first, until
// one has reached it.
constexpr std::chrono::seconds kUnreachableRest(10);

// Thread-safe.
class StoreChoice {
 public:
  StoreChoice(state::StateReader& state, std::string service, const Clock& clock = SystemClock());
  StoreChoice(StoreChoice&&) noexcept;
  ~StoreChoice();

  // For a login in its folded form. An unknown one is sent where the latest known one went, to be refused
  // there in the same words and the same time as a wrong password. NOT_FOUND when it is unknown and nowhere
  // is known to send it; UNAVAILABLE when it cannot be told now, or its pool has no host.
  absl::StatusOr<std::vector<Store>> For(std::string_view login);

  void MarkUnreachable(const std::string& endpoint);
  void MarkReachable(const std::string& endpoint);

 private:
  struct Memory;
  absl::StatusOr<std::vector<Store>> InPool(const std::string& pool, std::string_view login);

  state::StateReader& state_;
  const std::string service_;
  const Clock& clock_;
  std::unique_ptr<Memory> memory_;
};

}  // namespace prov::pop3
