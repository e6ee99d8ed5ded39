#include "agents/drivers/maildir_owner.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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
constexpr size_t kAtOnce = 64;  // six descriptors each
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

// What was changed is added to `opened`, to be synced.
absl::Status GiveOne(const std::string& root, const MaildirOwner& owner,
                     std::vector<FileDescriptor>& opened) {
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
    opened.push_back(std::move(fd));
  }
  PROV_RETURN_IF_ERROR(GiveTo(mailbox.get(), owner.uid));
  for (FileDescriptor* fd : {&first, &second, &mailbox}) opened.push_back(std::move(*fd));
  return absl::OkStatus();
}

}  // namespace

std::vector<absl::Status> GiveMaildirs(const std::string& root, const std::vector<MaildirOwner>& owners) {
  std::vector<absl::Status> statuses(owners.size());
  for (size_t from = 0; from < owners.size(); from += kAtOnce) {
    const size_t to = std::min(owners.size(), from + kAtOnce);
    std::vector<FileDescriptor> opened;
    for (size_t i = from; i < to; ++i) statuses[i] = GiveOne(root, owners[i], opened);
    std::vector<int> directories;
    for (const FileDescriptor& fd : opened) directories.push_back(fd.get());
    if (directories.empty()) continue;
    const absl::Status synced = maildir::SyncOpenDirectories(directories, "maildirs");
    for (size_t i = from; i < to; ++i) statuses[i].Update(synced);
  }
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
