#include "agents/mail/maildir/held_mailbox.h"

#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/layout.h"
#include "common/status.h"

namespace prov::maildir {

absl::StatusOr<HeldMailbox> HeldMailbox::Take(std::string_view root, std::string_view mailbox_id) {
  PROV_ASSIGN_OR_RETURN(FileDescriptor directory, OpenOrMakeMailbox(root, mailbox_id));
  PROV_ASSIGN_OR_RETURN(MailboxLock lock, MailboxLock::Take(directory.get()));
  HeldMailbox held(root, mailbox_id, std::move(directory), std::move(lock));
  // Whoever had it before may have taken it away meanwhile (departure.h).
  PROV_RETURN_IF_ERROR(held.CheckPlace());
  return held;
}

std::optional<HeldMailbox> HeldMailbox::TakeFromMemory(std::string_view root, std::string_view mailbox_id) {
  FileDescriptor directory = OpenMailboxFromMemory(root, mailbox_id);
  if (!directory.valid()) return std::nullopt;
  std::optional<MailboxLock> lock = MailboxLock::TakeFromMemory(directory.get());
  if (!lock) return std::nullopt;
  HeldMailbox held(root, mailbox_id, std::move(directory), *std::move(lock));
  if (!held.CheckPlace().ok()) return std::nullopt;
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

absl::Status HeldMailbox::CheckPlace() const { return CheckInPlace(root_, mailbox_id_, directory_.get()); }

}  // namespace prov::maildir
