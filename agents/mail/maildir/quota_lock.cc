#include "agents/mail/maildir/quota_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr mode_t kLockMode = 0600;

absl::Status Lock(int file, short type) {
  struct flock whole {};
  whole.l_type = type;
  whole.l_whence = SEEK_SET;
  while (fcntl(file, F_OFD_SETLKW, &whole) != 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "lock maildirsize");
  }
  return absl::OkStatus();
}

// The agent may be root: then the file is given to the mailbox's owner, whose engines are to lock it too.
absl::Status GiveToOwner(int mailbox, int file) {
  struct stat owner, own;
  if (fstat(mailbox, &owner) != 0 || fstat(file, &own) != 0) return ErrnoStatus(errno, "stat maildirsize.lock");
  if (owner.st_uid == own.st_uid || fchown(file, owner.st_uid, owner.st_gid) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "chown maildirsize.lock");
}

}  // namespace

absl::StatusOr<QuotaLock> QuotaLock::Take(int mailbox, short type) {
  FileDescriptor file(openat(mailbox, kQuotaLockFile, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kLockMode));
  if (!file.valid()) return ErrnoStatus(errno, "open maildirsize.lock");
  PROV_RETURN_IF_ERROR(GiveToOwner(mailbox, file.get()));
  PROV_RETURN_IF_ERROR(Lock(file.get(), type));
  return QuotaLock(std::move(file));
}

absl::StatusOr<QuotaLock> QuotaLock::Share(int mailbox) { return Take(mailbox, F_RDLCK); }
absl::StatusOr<QuotaLock> QuotaLock::Own(int mailbox) { return Take(mailbox, F_WRLCK); }
absl::Status QuotaLock::BeginSharing() { return Lock(file_.get(), F_RDLCK); }

QuotaLock& QuotaLock::operator=(QuotaLock&& other) noexcept {
  Unlock();
  file_ = std::move(other.file_);
  return *this;
}

QuotaLock::~QuotaLock() { Unlock(); }

// A process forked just now may share the descriptor until it executes: unlock, not only close.
void QuotaLock::Unlock() {
  if (!file_.valid()) return;
  struct flock whole {};
  whole.l_type = F_UNLCK;
  whole.l_whence = SEEK_SET;
  fcntl(file_.get(), F_OFD_SETLK, &whole);
}

}  // namespace prov::maildir
