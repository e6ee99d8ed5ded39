// When provd was last heard, and the newest write it told of: a small file beside the LMDB environment.
//
// Not in LMDB, for it changes with each heartbeat and need not survive a power cut: an idle agent is to cost
// no disk syncs. Written in place; a reader takes only what adds up.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"
#include "prov/v1/fleet.pb.h"

namespace prov::state {

struct Confirmation {
  uint64_t head_revision = 0;
  std::chrono::system_clock::time_point confirmed;  // the epoch: never
};

// Thread-safe, but for one role's writes.
class ConfirmationFile {
 public:
  // Makes the file if `writable`. UNAVAILABLE or NOT_FOUND otherwise when it is not there.
  static absl::StatusOr<ConfirmationFile> Open(const std::string& directory, bool writable);

  absl::Status Write(v1::Role role, const Confirmation& confirmation);
  // Never heard, when nothing (or nothing whole) is there.
  absl::StatusOr<Confirmation> Read(v1::Role role) const;
  int fd() const { return file_.get(); }

 private:
  explicit ConfirmationFile(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
};

}  // namespace prov::state
