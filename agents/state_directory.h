// The directory that one agent has for itself: the host's copy, and an operator's word.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/state/writer.h"
#include "common/clock.h"
#include "common/file.h"

namespace prov {

// How long an operator's word about removals holds.
constexpr std::chrono::hours kPermitLifetime{1};

class StateDirectory {
 public:
  // Makes it if it is not there (one level), and takes it for this process until it ends, however it ends.
  // FAILED_PRECONDITION when another agent still has it after `patience`. `group` may read it.
  static absl::StatusOr<StateDirectory> Claim(const std::string& path, std::optional<gid_t> group,
                                              std::chrono::milliseconds patience);

  // A copy that is broken is put aside (broken.mdb, one of them is kept), and an empty one made: provd sends
  // everything again. Broken is one that `check` says so of (DATA_LOSS; state/integrity.h), that cannot be
  // opened, or that this program has crashed on twice in a row (crash_count.h).
  absl::StatusOr<std::unique_ptr<state::StateWriter>> OpenState(
      const std::function<absl::Status()>& check) const;

 private:
  StateDirectory(std::string path, std::optional<gid_t> group, FileDescriptor lock)
      : path_(std::move(path)), group_(group), lock_(std::move(lock)) {}
  absl::Status PutAside(const absl::Status& why) const;

  std::string path_;
  std::optional<gid_t> group_;
  FileDescriptor lock_;
};

// What tells the agent of this directory from every other one: the machine since it was started last, and the
// directory on it. A copy of either is another one; the same agent, started again, is the same.
absl::StatusOr<std::string> InstanceOf(const std::string& path);

// The next OpenState puts the copy aside, whatever the check says.
void DistrustState(const std::string& path);

// When a broken copy was put aside last; the epoch: none has been, or it was taken away.
std::chrono::system_clock::time_point BrokenStateTime(const std::string& path);

// Lets the agent of this directory remove up to `records` at once, for kPermitLifetime.
absl::Status PermitRemovals(const std::string& path, uint64_t records);
// 0: no word, or an old one.
uint64_t PermittedRemovals(const std::string& path, const Clock& clock);

}  // namespace prov
