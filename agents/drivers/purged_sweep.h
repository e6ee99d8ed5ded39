// Removes the data of purged subscribers once its time is over (docs/decisions/0016).
//
// Time is what an agent has watched, not what a clock says: each round adds the time since the one before to
// the age of every day, in ROOT/.purged/ages, and something that comes into a day makes it new again. A clock
// that jumps, or clones whose clocks differ, remove nothing early; while no agent runs nothing ages.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/maildir/mailbox_lock.h"

namespace prov::drivers {

// Of one root. Not thread-safe; blocks on the disk. Of the hosts that share the root one counts and removes,
// as long as it lives; the others stand by.
class PurgedSweep {
 public:
  PurgedSweep(std::string root, std::chrono::milliseconds grace);

  struct Result {
    size_t waiting = 0;  // entries whose time is not over
    size_t removed = 0;
  };
  // One round; `elapsed` is the time since the last one began. `go_on` is asked before each entry is removed;
  // where it says no the next round goes on. Costs one failed open where nothing was purged.
  absl::StatusOr<Result> Run(std::chrono::milliseconds elapsed, const std::function<bool()>& go_on);

 private:
  struct Age {
    std::chrono::milliseconds watched{0};
    std::string changed;  // what the day's modification time was, to see that something came
  };
  using Ages = std::map<std::string, Age>;  // by name of the day

  absl::StatusOr<bool> TakeCharge(int purged);
  absl::StatusOr<Ages> ReadAges(int purged, bool& ours) const;
  absl::Status WriteAges(const Ages& ages) const;
  absl::Status RemoveDay(int purged, const std::string& day, const std::string& changed,
                         const std::function<bool()>& go_on, Result& result) const;
  absl::Status Finish(int purged, const std::string& day, const std::function<bool()>& go_on,
                      Result& result) const;

  const std::string root_;
  const std::chrono::milliseconds grace_;
  const std::string own_id_;  // in the file of ages: what another one counted last is not counted on by us
  std::optional<maildir::MailboxLock> charge_;
};

}  // namespace prov::drivers
