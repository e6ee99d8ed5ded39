// One look after the other at all that the drivers of one role have made on the host: what differs from the
// host's copy of its view is drift.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agents/drivers/driver.h"
#include "agents/state/writer.h"
#include "common/clock.h"
#include "prov/v1/fleet.pb.h"

namespace prov::sync {

constexpr int kMostDriftsTold = 100;  // fleet.proto, Inspection.drifts

// What becomes of drift.
enum class Repair {
  kNone,  // it is left
  kFew,   // mended, unless there is so much that it looks like a disk that is not mounted
  kAll,   // an operator's word
};

struct InspectionOptions {
  // With Repair::kFew: the greater of the two.
  uint64_t most_records = 10;
  uint64_t most_percent = 10;  // of the role's records
  size_t slice = 500;          // records between two looks at what is pending
  unsigned threads = 8;        // records looked at side by side: they mostly wait for the disk
};

// Not thread-safe.
class Inspection {
 public:
  // All must outlive it.
  Inspection(v1::Role role, std::vector<drivers::Driver*> drivers, state::StateWriter& state,
             const Clock& clock, InspectionOptions options = {});

  // From the beginning, whatever was under way. `number`: that of the newest request it answers.
  absl::Status Begin(uint64_t number, Repair repair);
  bool running() const { return running_; }

  // Looks at the next records. What differs is in report(), and nothing of it is mended yet. What is pending
  // is no drift. Not while drivers are at work. Errors are those of the state.
  absl::Status InspectSome();

  // What was found: queued for the drivers, if it is to be mended, once it is known to be. To be called after
  // each InspectSome when the report has been sent: what a person changed is told before it is gone. True:
  // the drivers' Flush must run, though nothing may be pending.
  absl::StatusOr<bool> Mend();

  const v1::Inspection& report() const { return report_; }
  // When it has ended: the revision up to which every effect was found; 0 when some was not.
  uint64_t observed_revision() const;

 private:
  struct Look {
    v1::Record record;
    std::string_view driver;
    std::string difference;
    absl::Status status;
  };
  uint64_t MostMended() const;
  void Hold();
  void LookAtAll(std::vector<Look>& looks) const;
  void LookAt(Look& look) const;
  absl::StatusOr<bool> IsPending(const Look& look) const;
  void LookAtFiles();
  void NoteDrift(std::string_view key, std::string_view driver, std::string_view difference);
  void NoteFailure(std::string_view key, const absl::Status& status);

  const v1::Role role_;
  const std::vector<drivers::Driver*> drivers_;
  state::StateWriter& state_;
  const Clock& clock_;
  const InspectionOptions options_;

  Repair repair_ = Repair::kNone;
  bool running_ = false;
  v1::Inspection report_;
  uint64_t revision_ = 0;  // when it began
  std::string last_key_;
  // To be mended:
  std::vector<std::string> found_;             // keys
  std::vector<drivers::Driver*> found_files_;  // whose files differ
};

}  // namespace prov::sync
