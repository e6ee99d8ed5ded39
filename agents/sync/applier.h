// Runs the drivers over what is pending for one role.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/drivers/driver.h"
#include "agents/state/writer.h"
#include "agents/sync/backoff.h"
#include "common/clock.h"

namespace prov::sync {

struct ApplierOptions {
  size_t slice =
      4096;  // items between two commits of their outcomes; files written whole are written for each
  unsigned threads = 8;  // items applied side by side: they mostly wait for the disk
  // The longest must be shorter than state::kLongestRest.
  Backoff retry = {.first = std::chrono::seconds(1), .longest = std::chrono::minutes(5)};
};

// Not thread-safe.
class Applier {
 public:
  // All must outlive the applier. Drivers run in the order given.
  Applier(v1::Role role, std::vector<drivers::Driver*> drivers, state::StateWriter& state, const Clock& clock,
          ApplierOptions options = {});

  // Does what is due, at most one slice. False: nothing was. An item that fails is set aside with its error
  // and retried later; the others go on (I4). Errors are those of the state, or of a driver's Flush when
  // there was no item to set aside with it.
  absl::StatusOr<bool> Step();

  // When there will be something to do, if nothing new comes.
  absl::StatusOr<std::optional<std::chrono::system_clock::time_point>> NextDue();

  // How many items the drivers have done since the start. From any thread.
  uint64_t done() const { return done_; }

  // Has the drivers' Flush run in the next step, though nothing may be pending.
  void FlushAgain() { flush_ = true; }

  // What the drivers' Flush has left undone. A step from its time on tries again.
  std::vector<drivers::Unfinished> Unfinished() const;

 private:
  void ApplyAll(std::vector<drivers::Work>& works);
  void ApplyOne(drivers::Work& work);

  const v1::Role role_;
  const std::vector<drivers::Driver*> drivers_;
  state::StateWriter& state_;
  const Clock& clock_;
  const ApplierOptions options_;
  // Files that are written whole are written once at each start, so that they are right whatever happened.
  bool flush_ = true;
  bool whole_ = false;  // the copy, since some step; then they are written once more
  std::atomic<uint64_t> done_{0};
};

}  // namespace prov::sync
