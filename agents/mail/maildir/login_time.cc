#include "agents/mail/maildir/login_time.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <ctime>

#include "common/file.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr mode_t kMode = 0600;

// This host's time, as the other hosts' is: a file server's own clock may be another.
timespec Now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

}  // namespace

absl::Status CheckLastLogin(int mailbox, std::chrono::seconds delay) {
  struct stat last;
  if (fstatat(mailbox, kLoginTimeFile, &last, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "stat login time");
  }
  const auto since = std::chrono::seconds(Now().tv_sec - last.st_mtim.tv_sec);
  if (since < std::chrono::seconds(0) || since >= delay) return absl::OkStatus();
  return absl::UnauthenticatedError("the last login was too short a time ago");
}

absl::Status NoteLogin(int mailbox) {
  const FileDescriptor file(
      openat(mailbox, kLoginTimeFile, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, kMode));
  if (!file.valid()) return ErrnoStatus(errno, "open login time");
  const timespec now = Now(), times[2] = {now, now};
  if (futimens(file.get(), times) != 0) return ErrnoStatus(errno, "set login time");
  return absl::OkStatus();
}

}  // namespace prov::maildir
