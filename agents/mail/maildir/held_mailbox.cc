#include "agents/mail/maildir/held_mailbox.h"

#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/layout.h"
#include "common/status.h"

namespace prov::maildir {

absl::StatusOr<HeldMailbox> HeldMailbox::Take(std::string_view root, std::string_view mailbox_id) {
  PROV_ASSIGN_OR_RETURN(FileDescriptor directory, OpenOrMakeMailbox(root, mailbox_id));
  PROV_ASSIGN_OR_RETURN(const DirectoryIdentity identity, IdentityOf(directory.get()));
  const bool on_local_disk = IsOnLocalDisk(directory.get());
  PROV_ASSIGN_OR_RETURN(MailboxLock lock, MailboxLock::Take(directory.get()));
  HeldMailbox held(root, mailbox_id, std::move(directory), identity, on_local_disk, std::move(lock));
  // Whoever had it before may have taken it away meanwhile (departure.h).
  PROV_RETURN_IF_ERROR(held.CheckPlace());
  return held;
}

std::optional<HeldMailbox> HeldMailbox::TakeFromMemory(std::string_view root, std::string_view mailbox_id) {
  FileDescriptor directory = OpenMailboxFromMemory(root, mailbox_id);
  if (!directory.valid()) return std::nullopt;
  const auto identity = IdentityOf(directory.get());
  std::optional<MailboxLock> lock = MailboxLock::TakeFromMemory(directory.get());
  if (!identity.ok() || !lock) return std::nullopt;
  HeldMailbox held(root, mailbox_id, std::move(directory), *identity, /*on_local_disk=*/true,
                   *std::move(lock));
  if (!held.CheckPlace().ok()) return std::nullopt;
  return held;
}

absl::Status HeldMailbox::Reopen() {
  if (directory_.valid()) return absl::OkStatus();
  auto directory = OpenMailbox(root_, mailbox_id_);
  if (absl::IsNotFound(directory.status())) return absl::UnavailableError("the mailbox has gone elsewhere");
  PROV_RETURN_IF_ERROR(directory.status());
  return TakeBack(*std::move(directory));
}

bool HeldMailbox::ReopenFromMemory() {
  if (directory_.valid()) return true;
  FileDescriptor directory = OpenMailboxFromMemory(root_, mailbox_id_);
  return directory.valid() && TakeBack(std::move(directory)).ok();
}

absl::Status HeldMailbox::TakeBack(FileDescriptor directory) {
  PROV_ASSIGN_OR_RETURN(const DirectoryIdentity identity, IdentityOf(directory.get()));
  if (identity != identity_) return absl::UnavailableError("another mailbox lies in its place");
  directory_ = std::move(directory);
  return absl::OkStatus();
}

// The place first: a host that walks there talks to the server, and so learns that it was cut off before it
// says from memory that the lock is its own.
absl::Status HeldMailbox::MakeSure() const {
  PROV_RETURN_IF_ERROR(CheckPlace());
  return Annotate(lock_.Reaffirm(), "make sure of the mailbox");
}

absl::Status HeldMailbox::CheckPlace() const { return CheckInPlace(root_, mailbox_id_, identity_); }

}  // namespace prov::maildir
