// One at a time in a mailbox: who reads it, or takes it to another pool.
#pragma once

#include <utility>

#include "absl/status/statusor.h"
#include "common/file.h"

namespace prov::maildir {

inline constexpr char kLockFile[] = "prov-session.lock";

// An open file description lock: unlike a POSIX lock it is ours alone, not the process's, and unlike flock it
// reaches the other hosts of a pool over NFS. It ends with the object or the process.
class MailboxLock {
 public:
  // `mailbox` is its open directory. ABORTED when another one has it, on this host or another.
  static absl::StatusOr<MailboxLock> Take(int mailbox);
  // Whether it is ours, taken again if nobody has it: a server drops the locks of a host that it has not
  // heard from, and tells neither the host nor us. ABORTED when another one has it.
  absl::Status Reaffirm() const;
  MailboxLock(MailboxLock&&) noexcept = default;
  MailboxLock& operator=(MailboxLock&&) = delete;
  ~MailboxLock();

 private:
  explicit MailboxLock(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
};

}  // namespace prov::maildir
