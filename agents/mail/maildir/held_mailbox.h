// A mailbox's directory that is ours alone, until we lose it without being told.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/mailbox_lock.h"
#include "common/file.h"

namespace prov::maildir {

class HeldMailbox {
 public:
  // Makes it if it is not there. ABORTED when another one has it, UNAVAILABLE when it has just gone
  // elsewhere.
  static absl::StatusOr<HeldMailbox> Take(std::string_view root, std::string_view mailbox_id);

  // The same of a mailbox on a local disk that is there and free: does not block. Nothing where Take would
  // have to, or has something to tell.
  static std::optional<HeldMailbox> TakeFromMemory(std::string_view root, std::string_view mailbox_id);

  // Open, unless it was let go.
  int directory() const { return directory_.get(); }
  // Whether what is in the kernel's memory can be had without asking a server (directory.h).
  bool is_on_local_disk() const { return on_local_disk_; }
  // It stays ours, and is opened again when it is needed: of the thousands of sessions that wait, the kernel
  // would hold more for an open directory than we do for all else.
  void LetGo() { directory_ = FileDescriptor(); }
  // UNAVAILABLE when it is not in its place any more.
  absl::Status Reopen();
  // Does not block. False where Reopen would have to, or has something to tell.
  bool ReopenFromMemory();

  // Before something is removed: a host that was cut off from its storage may have lost the lock meanwhile,
  // and the mailbox with it, to another clone (docs/decisions/0028). Errors as of Take.
  absl::Status MakeSure() const;

 private:
  HeldMailbox(std::string_view root, std::string_view mailbox_id, FileDescriptor directory,
              const DirectoryIdentity& identity, bool on_local_disk, MailboxLock lock)
      : root_(root),
        mailbox_id_(mailbox_id),
        identity_(identity),
        on_local_disk_(on_local_disk),
        lock_(std::move(lock)),
        directory_(std::move(directory)) {}
  absl::Status CheckPlace() const;
  absl::Status TakeBack(FileDescriptor directory);

  std::string root_, mailbox_id_;
  DirectoryIdentity identity_;
  bool on_local_disk_;
  MailboxLock lock_;  // ends last
  FileDescriptor directory_;
};

}  // namespace prov::maildir
