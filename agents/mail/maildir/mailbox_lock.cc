#include "agents/mail/maildir/mailbox_lock.h"

#include <fcntl.h>

#include <cerrno>

#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr mode_t kLockMode = 0600;

}  // namespace

absl::StatusOr<MailboxLock> MailboxLock::Take(int mailbox) {
  FileDescriptor file(openat(mailbox, kLockFile, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kLockMode));
  if (!file.valid()) return ErrnoStatus(errno, "open mailbox lock");
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(file.get(), F_OFD_SETLK, &whole) == 0) return MailboxLock(std::move(file));
  if (errno == EAGAIN || errno == EACCES) return absl::AbortedError("another session has the mailbox");
  return ErrnoStatus(errno, "lock mailbox");
}

MailboxLock::~MailboxLock() {
  if (!file_.valid()) return;
  // A process forked just now may share the descriptor until it executes: unlock, not only close.
  struct flock whole {};
  whole.l_type = F_UNLCK;
  whole.l_whence = SEEK_SET;
  fcntl(file_.get(), F_OFD_SETLK, &whole);
}

}  // namespace prov::maildir
