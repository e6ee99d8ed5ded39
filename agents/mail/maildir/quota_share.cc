#include "agents/mail/maildir/quota_share.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <optional>
#include <string>

#include "common/file.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr time_t kCountIsGoodFor = 15 * 60;  // as Maildir++ has it

// Whether a look at the mailbox itself may come to another sum.
bool MayBeWrong(int mailbox, const MaildirSize& size) {
  struct stat info;
  if (size.lines != 1 || fstatat(mailbox, kMaildirSizeFile, &info, AT_SYMLINK_NOFOLLOW) != 0) return true;
  const time_t age = time(nullptr) - info.st_mtime;
  return age < 0 || age >= kCountIsGoodFor;
}

absl::Status Full(const Usage& usage, int64_t limit) {
  return absl::OutOfRangeError(fmt::format("the mailbox holds {} octets of {}", usage.octets, limit));
}

// One write, so that lines of several writers do not mix; locked, for over NFS two hosts would write to one
// place.
absl::Status AddLine(int mailbox, int64_t octets, int64_t messages) {
  FileDescriptor file(
      openat(mailbox, kMaildirSizeFile, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, "open maildirsize");
  PROV_RETURN_IF_ERROR(LockFile(file.get(), F_WRLCK));
  PROV_RETURN_IF_ERROR(
      Annotate(WriteAll(file.get(), fmt::format("{} {}\n", octets, messages)), "maildirsize"));
  return file.Close();
}

// How much there is by the file; nothing: it is to be counted.
absl::StatusOr<std::optional<Usage>> UsageByFile(int mailbox, int64_t limit, int64_t octets) {
  const auto size = ReadMaildirSize(mailbox);
  if (absl::IsNotFound(size.status()) || absl::IsInvalidArgument(size.status())) return std::nullopt;
  PROV_RETURN_IF_ERROR(size.status());
  if (size->usage.octets > limit - octets && MayBeWrong(mailbox, *size)) return std::nullopt;
  return size->usage;
}

}  // namespace

absl::StatusOr<std::optional<QuotaShare>> QuotaShare::TakeWithOthers(int mailbox, int64_t limit,
                                                                     int64_t octets) {
  PROV_ASSIGN_OR_RETURN(QuotaLock lock, QuotaLock::Share(mailbox));
  PROV_ASSIGN_OR_RETURN(const std::optional<Usage> usage, UsageByFile(mailbox, limit, octets));
  if (!usage) return std::nullopt;
  if (usage->octets > limit - octets) return Full(*usage, limit);
  PROV_RETURN_IF_ERROR(AddLine(mailbox, octets, 1));
  QuotaShare share(mailbox, octets, std::move(lock));
  // Another may have counted in its own meanwhile: then it is decided one after the other who fits.
  const auto now = ReadMaildirSize(mailbox);
  if (!now.ok() || now->usage.octets <= limit) return share;
  share.Return();
  return std::nullopt;
}

absl::StatusOr<QuotaShare> QuotaShare::Take(int mailbox, int64_t limit, int64_t octets) {
  PROV_ASSIGN_OR_RETURN(std::optional<QuotaShare> share, TakeWithOthers(mailbox, limit, octets));
  if (share) return *std::move(share);
  PROV_ASSIGN_OR_RETURN(QuotaLock lock, QuotaLock::Own(mailbox));
  PROV_ASSIGN_OR_RETURN(std::optional<Usage> usage, UsageByFile(mailbox, limit, octets));
  if (!usage) {
    PROV_ASSIGN_OR_RETURN(usage, RecountUsage(mailbox, limit));
  }
  if (usage->octets > limit - octets) return Full(*usage, limit);
  PROV_RETURN_IF_ERROR(AddLine(mailbox, octets, 1));
  PROV_RETURN_IF_ERROR(lock.BeginSharing());
  return QuotaShare(mailbox, octets, std::move(lock));
}

void QuotaShare::Return() { AddLine(mailbox_, -octets_, -1).IgnoreError(); }

absl::Status SubtractUsage(int mailbox, const Usage& gone, const QuotaLock&) {
  const absl::Status added = AddLine(mailbox, -gone.octets, -gone.messages);
  return absl::IsNotFound(added) ? absl::OkStatus() : added;
}

}  // namespace prov::maildir
