// Runs the drivers over what is pending for one role, and inspects what they did before.
#pragma once

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
  unsigned threads = 8;        // items applied side by side: they mostly wait for the disk
  size_t inspect_slice = 500;  // records inspected between two looks at what is pending
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

  // Inspects the next records and queues those whose effect is missing. Returns the revision up to which
  // effects were found when a whole round without drift has ended, 0 when it ended with some, nothing before
  // the end.
  absl::StatusOr<std::optional<uint64_t>> InspectSome();

 private:
  void ApplyAll(std::vector<drivers::Work>& works);
  void ApplyOne(drivers::Work& work);
  // Whether all drivers find the record's effect. What cannot be inspected now is no drift.
  bool IsThere(const v1::Record& record);

  const v1::Role role_;
  const std::vector<drivers::Driver*> drivers_;
  state::StateWriter& state_;
  const Clock& clock_;
  const ApplierOptions options_;
  bool flushed_once_ = false;

  // A round of inspection.
  std::string inspected_key_;
  uint64_t inspecting_revision_ = 0;
  uint64_t drifting_ = 0;
};

}  // namespace prov::sync
