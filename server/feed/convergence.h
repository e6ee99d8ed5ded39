// Who follows the truth, and how far each has come: the directory, and each host for each of its roles.
//
// In memory only: progress is lost without harm, and told again by each agent as it connects. Of agents that
// are connected to another provd only what that one writes down is known, a second later.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "server/feed/progress_rate.h"
#include "server/feed/view.h"
#include "server/model/fleet.h"
#include "server/store/host_progress.h"

namespace prov::feed {

enum class FollowerState {
  kCurrent,  // has applied the revision
  kBehind,   // moving, not there yet
  kStuck,    // not moving: see cause
  kAbsent,   // no connection
};

// How one follower stands towards one revision.
struct Follower {
  std::string name;                 // "directory", "hosts/store1"
  std::optional<model::Role> role;  // none for the directory
  FollowerState state = FollowerState::kAbsent;
  uint64_t applied_revision = 0;
  uint64_t failing_items = 0;
  std::string cause;                                    // for people; empty when current or behind
  std::optional<std::chrono::milliseconds> time_to_go;  // while it is behind, once its rate is known

  bool operator==(const Follower&) const = default;
};

// What is known of a follower.
struct FollowerFacts {
  bool connected = false;
  bool seen = false;  // was connected at some time since this provd started
  uint64_t received_revision = 0;
  uint64_t applied_revision = 0;
  uint64_t failing_items = 0;
  std::string first_error;                           // of the failing items, or of the directory
  std::chrono::steady_clock::time_point connection;  // when it came or went
  std::chrono::steady_clock::time_point progress;    // when a revision last moved
  std::chrono::steady_clock::time_point behind;      // since when it has something to do
  ProgressRate rate;
};

struct ConvergenceOptions {
  // Without progress for so long, a follower with work to do is stuck.
  std::chrono::milliseconds stuck_after = std::chrono::seconds(5);
};

// Pure. A host that has applied the revision and then lost its connection is current all the same, unless
// `must_be_connected`: the effect is durable there.
Follower StandingOf(const FollowerFacts& facts, uint64_t revision, bool must_be_connected,
                    std::chrono::steady_clock::time_point now, const ConvergenceOptions& options);

// Thread-safe.
class Convergence {
 public:
  using FollowerKey = std::pair<std::string, model::Role>;  // host, role

  explicit Convergence(const Clock& clock, ConvergenceOptions options = {});

  // Whom to wait for: hosts that serve or are drained, once for each of their roles. Others are forgotten.
  // A fleet older than the one known is ignored.
  void SetFleet(const Fleet& fleet, uint64_t head_revision);
  uint64_t fleet_revision() const;
  // The newest write.
  void SetHead(uint64_t head_revision);
  uint64_t head() const;

  // A connection of the same host and role ends the older one; the id tells them apart.
  uint64_t Connected(const std::string& host, model::Role role, uint64_t received, uint64_t applied);
  void Report(uint64_t connection, uint64_t received, uint64_t applied, uint64_t failing_items,
              const std::string& first_error);
  void Disconnected(uint64_t connection);

  // What other provd have written down of their agents. What is connected here, or was since, counts more.
  void SetElsewhere(const std::vector<store::HostProgress>& progress);

  void ReportDirectory(bool connected, uint64_t applied_revision, uint64_t failing_items,
                       const std::string& error);

  // All followers towards a revision, the directory first, then by name and role.
  std::vector<Follower> Followers(uint64_t revision, bool must_be_connected) const;

  // Calls `listener` after each change, from the thread that made it; it must be quick and not call back.
  uint64_t Subscribe(std::function<void()> listener);
  // After it returns the listener is not running and not called again. Not from within a listener.
  void Unsubscribe(uint64_t id);

 private:
  struct Entry {
    FollowerFacts facts;
    uint64_t connection = 0;  // 0: none here
    bool expected = false;
  };

  void Move(FollowerFacts& facts, uint64_t received, uint64_t applied);
  void Notify();

  const Clock& clock_;
  const ConvergenceOptions options_;

  mutable std::mutex mutex_;
  uint64_t head_ = 0;
  uint64_t fleet_revision_ = 0;
  uint64_t last_connection_ = 0;
  FollowerFacts directory_;
  std::map<FollowerKey, Entry> hosts_;
  std::map<uint64_t, FollowerKey> connections_;

  std::mutex listeners_mutex_;
  uint64_t last_listener_ = 0;
  std::map<uint64_t, std::function<void()>> listeners_;
};

// Whether nobody is left to wait for.
bool AllCurrent(const std::vector<Follower>& followers);

}  // namespace prov::feed
