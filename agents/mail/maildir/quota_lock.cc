#include "agents/mail/maildir/quota_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr mode_t kLockMode = 0600;
constexpr std::chrono::milliseconds kPoll{2};

// The agent may be root: then the file is given to the mailbox's owner, whose engines are to lock it too.
absl::Status GiveToOwner(int mailbox, int file) {
  struct stat owner, own;
  if (fstat(mailbox, &owner) != 0 || fstat(file, &own) != 0)
    return ErrnoStatus(errno, "stat maildirsize.lock");
  if (!S_ISREG(own.st_mode) || own.st_nlink != 1)
    return absl::FailedPreconditionError("maildirsize.lock is no file of its own; remove it by hand");
  if (owner.st_uid == own.st_uid || fchown(file, owner.st_uid, owner.st_gid) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "chown maildirsize.lock");
}

}  // namespace

absl::Status LockFile(int file, short type) {
  const auto deadline = std::chrono::steady_clock::now() + kQuotaPatience;
  for (;;) {
    struct flock whole {};
    whole.l_type = type;
    whole.l_whence = SEEK_SET;
    if (fcntl(file, F_OFD_SETLK, &whole) == 0) return absl::OkStatus();
    if (errno != EAGAIN && errno != EACCES && errno != EINTR) return ErrnoStatus(errno, "lock maildirsize");
    if (std::chrono::steady_clock::now() >= deadline)
      return absl::UnavailableError("somebody has counted this mailbox for too long");
    std::this_thread::sleep_for(kPoll);
  }
}

absl::StatusOr<QuotaLock> QuotaLock::Take(int mailbox, short type) {
  FileDescriptor file(
      openat(mailbox, kQuotaLockFile, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, kLockMode));
  if (!file.valid()) return ErrnoStatus(errno, "open maildirsize.lock");
  PROV_RETURN_IF_ERROR(GiveToOwner(mailbox, file.get()));
  PROV_RETURN_IF_ERROR(LockFile(file.get(), type));
  return QuotaLock(std::move(file));
}

absl::StatusOr<QuotaLock> QuotaLock::Share(int mailbox) { return Take(mailbox, F_RDLCK); }
absl::StatusOr<QuotaLock> QuotaLock::Own(int mailbox) { return Take(mailbox, F_WRLCK); }
absl::Status QuotaLock::BeginSharing() { return LockFile(file_.get(), F_RDLCK); }

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
