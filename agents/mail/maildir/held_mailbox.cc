#include "agents/mail/maildir/held_mailbox.h"

#include <sys/stat.h>

#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/layout.h"
#include "common/status.h"

namespace prov::maildir {

absl::StatusOr<HeldMailbox> HeldMailbox::Take(std::string_view root, std::string_view mailbox_id) {
  PROV_RETURN_IF_ERROR(EnsureMailbox(root, mailbox_id));
  PROV_ASSIGN_OR_RETURN(FileDescriptor directory, OpenMailbox(root, mailbox_id));
  PROV_ASSIGN_OR_RETURN(MailboxLock lock, MailboxLock::Take(directory.get()));
  HeldMailbox held(root, mailbox_id, std::move(directory), std::move(lock));
  // Whoever had it before may have taken it away meanwhile (departure.h).
  PROV_RETURN_IF_ERROR(held.CheckPlace());
  return held;
}

// The place first: a host that walks there talks to the server, and so learns that it was cut off before it
// says from memory that the lock is its own.
absl::Status HeldMailbox::MakeSure() const {
  PROV_RETURN_IF_ERROR(CheckPlace());
  return MakeSureOfLock();
}

absl::Status HeldMailbox::MakeSureOfLock() const {
  return Annotate(lock_.Reaffirm(), "make sure of the mailbox");
}

absl::Status HeldMailbox::CheckPlace() const {
  const auto there = OpenMailbox(root_, mailbox_id_);
  if (!there.ok() && !absl::IsNotFound(there.status())) return there.status();
  struct stat ours, theirs;
  const bool same = there.ok() && fstat(directory_.get(), &ours) == 0 && fstat(there->get(), &theirs) == 0 &&
                    ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
  return same ? absl::OkStatus() : absl::UnavailableError("the mailbox has just gone elsewhere");
}

}  // namespace prov::maildir
