// A mailbox's directory that is ours alone, until we lose it without being told.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/maildir/mailbox_lock.h"
#include "common/file.h"

namespace prov::maildir {

class HeldMailbox {
 public:
  // Makes it if it is not there. ABORTED when another one has it, UNAVAILABLE when it has just gone
  // elsewhere.
  static absl::StatusOr<HeldMailbox> Take(std::string_view root, std::string_view mailbox_id);

  int directory() const { return directory_.get(); }

  // Before something is removed: a host that was cut off from its storage may have lost the lock meanwhile,
  // and the mailbox with it, to another clone (docs/decisions/0028). Errors as of Take.
  absl::Status MakeSure() const;
  // The same between two files of one removal: of the lock alone, which costs the server a word.
  absl::Status MakeSureOfLock() const;

 private:
  HeldMailbox(std::string_view root, std::string_view mailbox_id, FileDescriptor directory, MailboxLock lock)
      : root_(root), mailbox_id_(mailbox_id), lock_(std::move(lock)), directory_(std::move(directory)) {}
  absl::Status CheckPlace() const;

  std::string root_, mailbox_id_;
  MailboxLock lock_;  // ends last
  FileDescriptor directory_;
};

}  // namespace prov::maildir
