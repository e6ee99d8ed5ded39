#include "agents/drivers/maildir_owner.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agents/mail/maildir/directory.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

using maildir::OpenBelow;
using maildir::OpenRoot;
using maildir::StepsOf;

constexpr mode_t kPassMode = 0711;  // to be passed through, not listed
constexpr mode_t kPassBits = 0111;
constexpr const char* kParts[] = {"tmp", "new", "cur"};

absl::StatusOr<struct stat> StatOf(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoStatus(errno, "stat maildir");
  return info;
}

absl::Status LetPass(int directory) {
  PROV_ASSIGN_OR_RETURN(const struct stat info, StatOf(directory));
  if ((info.st_mode & kPassBits) == kPassBits) return absl::OkStatus();
  if (fchmod(directory, kPassMode) != 0) return ErrnoStatus(errno, "chmod above maildir");
  return absl::OkStatus();
}

absl::Status GiveTo(int directory, uid_t uid) {
  PROV_ASSIGN_OR_RETURN(const struct stat info, StatOf(directory));
  if (info.st_uid == uid) return absl::OkStatus();
  if (info.st_uid != geteuid()) {
    return absl::FailedPreconditionError(
        fmt::format("the maildir belongs to uid {}, not to uid {}; mend it by hand", info.st_uid, uid));
  }
  if (fchown(directory, uid, uid) != 0) return ErrnoStatus(errno, "chown maildir");
  return absl::OkStatus();
}

absl::Status GiveOne(const std::string& root, const MaildirOwner& owner, maildir::DirectorySync& sync) {
  PROV_ASSIGN_OR_RETURN(const auto steps, StepsOf(owner.mailbox_id));
  PROV_ASSIGN_OR_RETURN(const FileDescriptor base, OpenRoot(root));
  PROV_ASSIGN_OR_RETURN(FileDescriptor first, OpenBelow(base.get(), steps.first));
  PROV_ASSIGN_OR_RETURN(FileDescriptor second, OpenBelow(first.get(), steps.second));
  PROV_RETURN_IF_ERROR(LetPass(first.get()));
  PROV_RETURN_IF_ERROR(LetPass(second.get()));
  PROV_ASSIGN_OR_RETURN(FileDescriptor mailbox, OpenBelow(second.get(), steps.name));
  // The mailbox last: once it is the subscriber's, so is what is in it.
  for (const char* part : kParts) {
    PROV_ASSIGN_OR_RETURN(FileDescriptor fd, OpenBelow(mailbox.get(), part));
    PROV_RETURN_IF_ERROR(GiveTo(fd.get(), owner.uid));
    PROV_RETURN_IF_ERROR(sync.Add(std::move(fd)));
  }
  PROV_RETURN_IF_ERROR(GiveTo(mailbox.get(), owner.uid));
  for (FileDescriptor* fd : {&first, &second, &mailbox}) PROV_RETURN_IF_ERROR(sync.Add(std::move(*fd)));
  return absl::OkStatus();
}

}  // namespace

std::vector<absl::Status> GiveMaildirs(const std::string& root, const std::vector<MaildirOwner>& owners) {
  std::vector<absl::Status> statuses;
  maildir::DirectorySync sync;
  for (const MaildirOwner& owner : owners) statuses.push_back(GiveOne(root, owner, sync));
  const absl::Status synced = sync.Finish("maildirs");
  for (absl::Status& status : statuses) status.Update(synced);
  return statuses;
}

absl::StatusOr<std::string> InspectMaildirOwner(const std::string& root, const MaildirOwner& owner) {
  PROV_ASSIGN_OR_RETURN(const auto steps, StepsOf(owner.mailbox_id));
  PROV_ASSIGN_OR_RETURN(FileDescriptor at, OpenRoot(root));
  for (const std::string& step : {steps.first, steps.second}) {
    PROV_ASSIGN_OR_RETURN(at, OpenBelow(at.get(), step));
    PROV_ASSIGN_OR_RETURN(const struct stat info, StatOf(at.get()));
    if ((info.st_mode & kPassBits) != kPassBits)
      return fmt::format("is below {}, which its owner may not pass", step);
  }
  PROV_ASSIGN_OR_RETURN(const FileDescriptor mailbox, OpenBelow(at.get(), steps.name));
  for (const char* part : {".", "tmp", "new", "cur"}) {
    PROV_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenBelow(mailbox.get(), part));
    PROV_ASSIGN_OR_RETURN(const struct stat info, StatOf(fd.get()));
    if (info.st_uid != owner.uid)
      return fmt::format("{} belongs to uid {}, not to uid {}", part, info.st_uid, owner.uid);
  }
  return "";
}

}  // namespace prov::drivers
