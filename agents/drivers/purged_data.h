// Data of purged subscribers, out of service and not removed yet: ROOT/.purged/DATE/ENTRY, where it waits for
// the time that `purge.grace` says (docs/decisions/0016). Any number of hosts may share the root's file
// system.
//
// Every function is harmless when it is called again, and whoever is killed within leaves nothing that a next
// call does not mend. They block on the disk.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"

namespace prov::drivers {

inline constexpr char kPurgedDirectory[] = ".purged";

// Whether it is the name of a directory of one day's entries: "2026-11-29", or "2026-11-29.2" where the first
// one was in the way.
bool IsPurgedDay(std::string_view name);

// Every name in a directory but "." and "..".
absl::StatusOr<std::vector<std::string>> NamesIn(int directory);

// Takes `name` in the directory `parent`, which is below the root, out of service: one rename, after which no
// path leads to it. Whoever has it open goes on in it. Gone already is OK. Durable when it returns.
// FAILED_PRECONDITION when it lies on another file system than the root, or is a link.
absl::Status TakeOut(const std::string& root, int parent, const std::string& name, const std::string& entry,
                     std::chrono::system_clock::time_point now);

// What is out of service at this moment, to be put back: one look at the days serves for many entries.
class PurgedDays {
 public:
  static absl::StatusOr<PurgedDays> Open(const std::string& root);

  bool empty() const { return days_.empty(); }
  absl::StatusOr<bool> Has(const std::string& entry) const;
  // Puts all that was taken out as `entry` back, as `name` in `parent`. Where something is there by now it
  // stays, and what it has not got is moved into it; the rest waits for its removal. Durable when it returns.
  absl::Status TakeBack(const std::string& entry, int parent, const std::string& name) const;

 private:
  std::vector<FileDescriptor> days_;
};

}  // namespace prov::drivers
