// Which store host serves a login's POP3 session, in the order to try them.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/state/reader.h"
#include "common/clock.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::pop3 {

// A host that could not be reached is tried last for so long.
constexpr std::chrono::seconds kUnreachableRest(10);

// The endpoints ("pop3") of members that are not drained. One login always gets the same order while the
// members are the same, and a member that comes or goes moves only its own share (rendezvous hashing, by
// weight): one mailbox is served by one clone, so that its lock is never contended between hosts.
std::vector<std::string> OrderMembers(const v1::PoolMembers& pool, std::string_view login);

// Used on one thread.
class BackEnds {
 public:
  BackEnds(state::StateReader& state, const Clock& clock) : state_(state), clock_(clock) {}

  // For a login in its folded form. A login without a route is sent where others go, to be refused there in
  // the same words and the same time as a wrong password. NOT_FOUND: it is unknown, and nowhere is known yet
  // to send it. UNAVAILABLE: no member takes sessions, or the state cannot be read.
  absl::StatusOr<std::vector<std::string>> For(std::string_view login);

  void MarkUnreachable(const std::string& endpoint);

 private:
  absl::StatusOr<std::vector<std::string>> InPool(const std::string& pool, std::string_view login);

  state::StateReader& state_;
  const Clock& clock_;
  std::string last_pool_;
  std::map<std::string, std::chrono::steady_clock::time_point> unreachable_;  // until when
};

}  // namespace prov::pop3
