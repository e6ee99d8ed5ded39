// Which of several agents with one certificate stands for its host, for all provd together.
//
// No fact of provisioning: it has no revision, and is lost without harm.
#pragma once

#include <chrono>
#include <compare>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::store {

constexpr std::string_view kIdentityTaken = "IDENTITY_TAKEN";  // ReasonOf
// A claim that nobody has kept fresh for so long is anybody's.
constexpr std::chrono::seconds kClaimLifetime{20};

struct AgentClaim {
  std::string host;
  std::string instance;

  auto operator<=>(const AgentClaim&) const = default;
};

// A claim that was kept fresh.
struct KeptClaim {
  AgentClaim claim;
  std::string refused_peer;  // who was refused because of it, lately; empty: nobody
};

class ConnectionPool;

// Thread-safe.
class AgentClaims {
 public:
  explicit AgentClaims(ConnectionPool& pool) : pool_(pool) {}

  // OK: the host is this instance's now. ALREADY_EXISTS with reason kIdentityTaken while it is another's, or,
  // unless `may_take_over`, was; that is noted.
  absl::Status Take(const AgentClaim& claim, const std::string& peer, bool may_take_over);
  // To be said every few seconds of all that are connected, well within kClaimLifetime. Those that are not in
  // the answer are another's by now.
  absl::StatusOr<std::vector<KeptClaim>> Keep(const std::vector<AgentClaim>& claims);

 private:
  ConnectionPool& pool_;
};

}  // namespace prov::store
