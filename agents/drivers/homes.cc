#include "agents/drivers/homes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "agents/drivers/purged_data.h"
#include "agents/drivers/quota_note.h"
#include "agents/drivers/tree_removal.h"
#include "agents/mail/maildir/directory.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

constexpr mode_t kHashMode = 0711;  // to be passed through, not listed
constexpr mode_t kHomeMode = 0755;
constexpr mode_t kModeBits = 07777;

using maildir::OpenBelow;
using maildir::OpenRoot;
using maildir::StepsOf;
using maildir::SyncOpenDirectory;

absl::StatusOr<FileDescriptor> MakeBelow(int parent, const std::string& name, mode_t mode) {
  const bool made = mkdirat(parent, name.c_str(), mode) == 0;
  if (!made && errno != EEXIST) return ErrnoStatus(errno, fmt::format("mkdir {}", name));
  PROV_ASSIGN_OR_RETURN(FileDescriptor fd, OpenBelow(parent, name));
  // The umask must not narrow it.
  if (made && fchmod(fd.get(), mode) != 0) return ErrnoStatus(errno, fmt::format("chmod {}", name));
  return fd;
}

class HomeDriver final : public Driver {
 public:
  explicit HomeDriver(HomeOptions options) : options_(std::move(options)) {}

  std::string_view name() const override { return "homes"; }

  absl::Status Apply(const state::PendingItem& item) override {
    if (item.record) return item.record->has_account() ? Make(item.record->account()) : absl::OkStatus();
    if (!item.previous || !item.previous->has_account()) return absl::OkStatus();
    const v1::Account& account = item.previous->account();
    if (!account.closed()) {
      Log(Level::kInfo, "home_kept", {{"key", item.key}, {"home", account.home_id()}});
      return absl::OkStatus();
    }
    Log(Level::kInfo, "home_purge",
        {{"key", item.key}, {"home", account.home_id()}, {"kept_s", options_.purge_grace.count() / 1000}});
    return Remove(account);
  }

  absl::Status Flush(std::vector<Work>& works) override {
    maildir::DirectorySync sync;
    for (Work& work : works) {
      if (!work.status.ok() || !work.item.record || !work.item.record->has_account()) continue;
      work.status = Annotate(AddAll(work.item.record->account(), sync), name());
    }
    return sync.Finish("homes");
  }

  absl::StatusOr<std::string> Inspect(const v1::Record& record) override {
    if (!record.has_account()) return "";
    const auto home = OpenHome(record.account());
    if (absl::IsNotFound(home.status())) return "is missing";
    PROV_RETURN_IF_ERROR(home.status());
    PROV_ASSIGN_OR_RETURN(const struct stat of_home, StatOf(home->get()));
    if (of_home.st_uid != geteuid()) return fmt::format("belongs to uid {}", of_home.st_uid);
    if ((of_home.st_mode & kModeBits) != kHomeMode) {
      return fmt::format("has mode {:04o}, not {:04o}", of_home.st_mode & kModeBits, kHomeMode);
    }
    const auto folder = OpenBelow(home->get(), options_.folder);
    if (absl::IsNotFound(folder.status())) return fmt::format("has no {}", options_.folder);
    PROV_RETURN_IF_ERROR(folder.status());
    PROV_ASSIGN_OR_RETURN(const struct stat of_folder, StatOf(folder->get()));
    PROV_ASSIGN_OR_RETURN(const std::string note, ReadQuotaNote(home->get()));
    if (options_.notes_quota && note != NoteOf(record.account())) {
      return fmt::format("has another {} than its plan", kQuotaNote);
    }
    // Its mode is the subscriber's own affair.
    if (geteuid() != 0 || of_folder.st_uid == record.account().uid_number()) return "";
    return fmt::format("{} belongs to uid {}, not to uid {}", options_.folder, of_folder.st_uid,
                       record.account().uid_number());
  }

 private:
  static absl::StatusOr<struct stat> StatOf(int fd) {
    struct stat info;
    if (fstat(fd, &info) != 0) return ErrnoStatus(errno, "stat home");
    return info;
  }

  absl::Status Make(const v1::Account& account) const {
    if (account.uid_number() < options_.least_uid) {
      return absl::InvalidArgumentError(fmt::format("uid {} is lower than accounts.least_uid, {}",
                                                    account.uid_number(), options_.least_uid));
    }
    PROV_ASSIGN_OR_RETURN(const auto steps, StepsOf(account.home_id()));
    PROV_ASSIGN_OR_RETURN(const FileDescriptor root, OpenRoot(options_.root));
    PROV_ASSIGN_OR_RETURN(const FileDescriptor first, MakeBelow(root.get(), steps.first, kHashMode));
    PROV_ASSIGN_OR_RETURN(const FileDescriptor second, MakeBelow(first.get(), steps.second, kHashMode));
    PROV_ASSIGN_OR_RETURN(const FileDescriptor home, MakeBelow(second.get(), steps.name, kHomeMode));
    PROV_RETURN_IF_ERROR(KeepFromSubscriber(home.get()));
    PROV_RETURN_IF_ERROR(TakeBackFolder(account, home.get()));
    if (options_.notes_quota) PROV_RETURN_IF_ERROR(PutQuotaNote(home.get(), NoteOf(account)));
    PROV_ASSIGN_OR_RETURN(const FileDescriptor folder,
                          MakeBelow(home.get(), options_.folder, options_.folder_mode));
    if (geteuid() != 0) return absl::OkStatus();
    return GiveTo(folder.get(), account.uid_number());
  }

  std::string NoteOf(const v1::Account& account) const {
    const auto plan = options_.plan_quota.find(account.plan());
    return plan == options_.plan_quota.end() ? "" : FormatQuotaNote(plan->first, plan->second);
  }

  // Where it was purged not long ago, and came back.
  absl::Status TakeBackFolder(const v1::Account& account, int home) const {
    PROV_ASSIGN_OR_RETURN(const PurgedDays days, PurgedDays::Open(options_.root));
    PROV_ASSIGN_OR_RETURN(const bool there, days.Has(PurgedName(account)));
    if (!there) return absl::OkStatus();
    Log(Level::kInfo, "home_taken_back", {{"home", account.home_id()}, {"folder", options_.folder}});
    return days.TakeBack(PurgedName(account), home, options_.folder);
  }

  // Unlike those of mailboxes, and of the other role's folders, whose root may be the same.
  std::string PurgedName(const v1::Account& account) const {
    return fmt::format("{}.{}", account.home_id(), options_.folder);
  }

  // What is writable to the subscriber is no cage: servers refuse to lock anybody into it, and should.
  static absl::Status KeepFromSubscriber(int home) {
    PROV_ASSIGN_OR_RETURN(const struct stat info, StatOf(home));
    if (info.st_uid != geteuid() && fchown(home, geteuid(), getegid()) != 0) {
      return ErrnoStatus(errno, "chown home");
    }
    if ((info.st_mode & kModeBits) != kHomeMode && fchmod(home, kHomeMode) != 0) {
      return ErrnoStatus(errno, "chmod home");
    }
    return absl::OkStatus();
  }

  // Only what is still ours is given away: nobody gets another's files by accident.
  static absl::Status GiveTo(int folder, uid_t uid) {
    PROV_ASSIGN_OR_RETURN(const struct stat info, StatOf(folder));
    const uid_t owner = info.st_uid;
    if (owner == uid) return absl::OkStatus();
    if (owner != 0) {
      return absl::FailedPreconditionError(
          fmt::format("the home belongs to uid {}, not to uid {}; mend it by hand", owner, uid));
    }
    if (fchown(folder, uid, uid) != 0) return ErrnoStatus(errno, "chown home");
    return absl::OkStatus();
  }

  // The folder, for its owner, and every directory above it, for the names. What was there before is synced
  // as well: whoever made it may have been killed before its sync.
  absl::Status AddAll(const v1::Account& account, maildir::DirectorySync& sync) const {
    PROV_ASSIGN_OR_RETURN(const auto steps, StepsOf(account.home_id()));
    PROV_ASSIGN_OR_RETURN(FileDescriptor fd, OpenRoot(options_.root));
    for (const std::string& step : {steps.first, steps.second, steps.name, options_.folder}) {
      PROV_ASSIGN_OR_RETURN(FileDescriptor below, OpenBelow(fd.get(), step));
      PROV_RETURN_IF_ERROR(sync.Add(std::exchange(fd, std::move(below))));
    }
    return sync.Add(std::move(fd));
  }

  absl::StatusOr<FileDescriptor> OpenHome(const v1::Account& account) const {
    PROV_ASSIGN_OR_RETURN(const auto steps, StepsOf(account.home_id()));
    const auto root = OpenRoot(options_.root);
    // A missing root is a mount that is not there, not a home that is not there.
    if (absl::IsNotFound(root.status())) return absl::UnavailableError(std::string(MessageOf(root.status())));
    PROV_RETURN_IF_ERROR(root.status());
    PROV_ASSIGN_OR_RETURN(const FileDescriptor first, OpenBelow(root->get(), steps.first));
    PROV_ASSIGN_OR_RETURN(const FileDescriptor second, OpenBelow(first.get(), steps.second));
    return OpenBelow(second.get(), steps.name);
  }

  absl::Status Remove(const v1::Account& account) const {
    const auto home = OpenHome(account);
    if (absl::IsNotFound(home.status())) return absl::OkStatus();
    PROV_RETURN_IF_ERROR(home.status());
    if (options_.purge_grace.count() > 0) {
      PROV_RETURN_IF_ERROR(
          TakeOut(options_.root, home->get(), options_.folder, PurgedName(account), options_.clock->Now()));
    } else {
      PROV_RETURN_IF_ERROR(RemoveTree(home->get(), options_.folder));
    }
    if (options_.notes_quota) PROV_RETURN_IF_ERROR(PutQuotaNote(home->get(), ""));
    PROV_RETURN_IF_ERROR(SyncOpenDirectory(home->get(), "home"));
    PROV_ASSIGN_OR_RETURN(const auto steps, StepsOf(account.home_id()));
    PROV_ASSIGN_OR_RETURN(const FileDescriptor above, OpenBelow(home->get(), ".."));
    // The other role's folder may still be in it.
    if (unlinkat(above.get(), steps.name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT &&
        errno != ENOTEMPTY && errno != EEXIST) {
      return ErrnoStatus(errno, fmt::format("rmdir {}", steps.name));
    }
    return SyncOpenDirectory(above.get(), steps.second);
  }

  const HomeOptions options_;
};

}  // namespace

HomeOptions FtpHomes(std::string root, uint32_t least_uid) {
  return {.root = std::move(root),
          .folder = "files",
          .folder_mode = 0700,
          .least_uid = least_uid,
          .notes_quota = true};
}

HomeOptions WebHomes(std::string root, uint32_t least_uid) {
  return {.root = std::move(root), .folder = "public_html", .folder_mode = 0755, .least_uid = least_uid};
}

std::unique_ptr<Driver> MakeHomeDriver(HomeOptions options) {
  return std::make_unique<HomeDriver>(std::move(options));
}

}  // namespace prov::drivers
