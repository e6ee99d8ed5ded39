// Notices that the host's copy is broken while it is in use.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/state/reader.h"
#include "common/clock.h"

namespace prov {

// Of an engine that crashes again and again, not each crash is worth a look at the whole copy.
constexpr std::chrono::minutes kStateCheckInterval{1};

// Not thread-safe.
class StateWatch {
 public:
  // `check` reads the whole copy, in a process of its own (state_check.h). `clock` must outlive this.
  StateWatch(std::function<absl::Status()> check, const Clock& clock);

  // How often the engine beside the agent has crashed so far: what is broken may have crashed it.
  void ObserveCrashes(uint64_t crashes);
  // Whether the engine speaks. One that others supervise tells nobody why it fell silent: it may have
  // crashed.
  void ObserveSpeaking(bool speaks);
  // What reading it came to. One that has forgotten how far it was may be spoilt in a way that reads like
  // empty.
  void ObserveRead(v1::Role role, const absl::StatusOr<state::Freshness>& read);

  // Checks the copy when something said that it may be broken; a second time within kStateCheckInterval waits
  // for that. DATA_LOSS: it is broken. Otherwise OK, whether or not it was checked. To be called about once a
  // second.
  absl::Status Poll();

 private:
  const std::function<absl::Status()> check_;
  const Clock& clock_;
  uint64_t crashes_ = 0;
  bool speaks_ = false;
  std::map<v1::Role, uint64_t> received_;  // revisions
  bool suspect_ = false;
  absl::Status broken_;
  std::chrono::steady_clock::time_point next_check_;
};

}  // namespace prov
