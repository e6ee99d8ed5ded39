#include "agents/mail/maildir/mailbox_lock.h"

#include <fcntl.h>

#include <cerrno>

#include "agents/mail/maildir/directory.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr mode_t kLockMode = 0600;

absl::Status Lock(int file) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(file, F_OFD_SETLK, &whole) == 0) return absl::OkStatus();
  if (errno == EAGAIN || errno == EACCES) return absl::AbortedError("another session has the mailbox");
  return ErrnoStatus(errno, "lock mailbox");
}

}  // namespace

absl::StatusOr<MailboxLock> MailboxLock::Take(int mailbox) {
  FileDescriptor file(openat(mailbox, kLockFile, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kLockMode));
  if (!file.valid()) return ErrnoStatus(errno, "open mailbox lock");
  PROV_RETURN_IF_ERROR(Lock(file.get()));
  return MailboxLock(std::move(file));
}

std::optional<MailboxLock> MailboxLock::TakeFromMemory(int mailbox) {
  FileDescriptor file = OpenFromMemory(mailbox, kLockFile, O_RDWR | O_NONBLOCK);
  if (!file.valid() || !Lock(file.get()).ok()) return std::nullopt;
  return MailboxLock(std::move(file));
}

absl::Status MailboxLock::Reaffirm() const { return Lock(file_.get()); }

MailboxLock::~MailboxLock() {
  if (!file_.valid()) return;
  // A process forked just now may share the descriptor until it executes: unlock, not only close.
  struct flock whole {};
  whole.l_type = F_UNLCK;
  whole.l_whence = SEEK_SET;
  fcntl(file_.get(), F_OFD_SETLK, &whole);
}

}  // namespace prov::maildir
