#include "agents/drivers/purged_sweep.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <utility>
#include <vector>

#include "agents/drivers/purged_data.h"
#include "agents/drivers/tree_removal.h"
#include "agents/mail/maildir/directory.h"
#include "common/file.h"
#include "common/log.h"
#include "common/random.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

using maildir::OpenBelow;
using maildir::OpenRoot;
using std::chrono::milliseconds;

constexpr char kAgesFile[] = "ages";
constexpr char kRemovingPrefix[] = "removing-";
constexpr size_t kMostAgesOctets = 1 << 20;
constexpr mode_t kAgesMode = 0600;
constexpr int kMostPartsOfADay = 9;

absl::StatusOr<std::string> ChangedAt(int directory) {
  struct stat info;
  if (fstat(directory, &info) != 0) return ErrnoStatus(errno, "stat day");
  return fmt::format("{}.{:09}", info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

}  // namespace

PurgedSweep::PurgedSweep(std::string root, milliseconds grace)
    : root_(std::move(root)), grace_(grace), own_id_(RandomHex(8)) {}

absl::StatusOr<bool> PurgedSweep::TakeCharge(int purged) {
  if (charge_) return true;
  auto lock = maildir::MailboxLock::Take(purged);
  if (absl::IsAborted(lock.status())) return false;
  PROV_RETURN_IF_ERROR(lock.status());
  charge_.emplace(*std::move(lock));
  return true;
}

// The first line is the id of who wrote it; then "DAY MILLISECONDS CHANGED". What cannot be read counts as no
// age.
absl::StatusOr<PurgedSweep::Ages> PurgedSweep::ReadAges(int purged, bool& ours) const {
  ours = false;
  Ages ages;
  const auto text = ReadFile(fmt::format("{}/{}/{}", root_, kPurgedDirectory, kAgesFile), kMostAgesOctets);
  if (absl::IsNotFound(text.status())) return ages;
  PROV_RETURN_IF_ERROR(text.status());
  std::istringstream lines(*text);
  std::string id, day;
  lines >> id;
  ours = id == own_id_;
  int64_t watched = 0;
  Age age;
  while (lines >> day >> watched >> age.changed) {
    if (!IsPurgedDay(day) || watched < 0) continue;
    age.watched = milliseconds(watched);
    ages[day] = age;
  }
  return ages;
}

absl::Status PurgedSweep::WriteAges(const Ages& ages) const {
  std::string text = own_id_ + "\n";
  for (const auto& [day, age] : ages)
    text += fmt::format("{} {} {}\n", day, age.watched.count(), age.changed);
  return ReplaceFile(fmt::format("{}/{}/{}", root_, kPurgedDirectory, kAgesFile), text, kAgesMode);
}

absl::StatusOr<PurgedSweep::Result> PurgedSweep::Run(milliseconds elapsed,
                                                     const std::function<bool()>& go_on) {
  Result result;
  PROV_ASSIGN_OR_RETURN(const FileDescriptor base, OpenRoot(root_));
  const auto purged = OpenBelow(base.get(), kPurgedDirectory);
  if (absl::IsNotFound(purged.status())) return result;
  PROV_RETURN_IF_ERROR(purged.status());
  PROV_ASSIGN_OR_RETURN(const bool in_charge, TakeCharge(purged->get()));
  if (!in_charge) return result;
  bool ours = false;
  PROV_ASSIGN_OR_RETURN(const Ages before, ReadAges(purged->get(), ours));
  PROV_ASSIGN_OR_RETURN(const auto names, NamesIn(purged->get()));
  Ages now;
  for (const std::string& name : names) {
    if (name.starts_with(kRemovingPrefix)) PROV_RETURN_IF_ERROR(Finish(purged->get(), name, go_on, result));
    if (!IsPurgedDay(name)) continue;
    const auto day = OpenBelow(purged->get(), name);
    if (absl::IsNotFound(day.status())) continue;
    PROV_RETURN_IF_ERROR(day.status());
    Age age;
    PROV_ASSIGN_OR_RETURN(age.changed, ChangedAt(day->get()));
    const auto known = before.find(name);
    if (known != before.end() && known->second.changed == age.changed) {
      // What passed before we were in charge was counted by the one before us, if by anybody.
      age.watched = known->second.watched + (ours ? elapsed : milliseconds(0));
    }
    if (age.watched >= grace_) {
      PROV_RETURN_IF_ERROR(RemoveDay(purged->get(), name, age.changed, go_on, result));
      continue;
    }
    PROV_ASSIGN_OR_RETURN(const auto entries, NamesIn(day->get()));
    result.waiting += entries.size();
    now[name] = std::move(age);
  }
  if (!now.empty() || !before.empty()) PROV_RETURN_IF_ERROR(WriteAges(now));
  return result;
}

// The day gets another name first, in one step: what is half removed is not put back as if it were whole.
absl::Status PurgedSweep::RemoveDay(int purged, const std::string& day, const std::string& changed,
                                    const std::function<bool()>& go_on, Result& result) const {
  const std::string removing = fmt::format("{}{}-{}", kRemovingPrefix, day, RandomHex(8));
  if (renameat(purged, day.c_str(), purged, removing.c_str()) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "rename " + day);
  }
  PROV_RETURN_IF_ERROR(maildir::SyncOpenDirectory(purged, kPurgedDirectory));
  PROV_ASSIGN_OR_RETURN(const FileDescriptor opened, OpenBelow(purged, removing));
  PROV_ASSIGN_OR_RETURN(const std::string changed_now, ChangedAt(opened.get()));
  if (changed_now == changed) return Finish(purged, removing, go_on, result);
  // Something came, or went back, at the last moment: its time begins anew.
  const std::string date = day.substr(0, sizeof("0000-00-00") - 1);
  for (int part = 1; part <= kMostPartsOfADay; ++part) {
    const std::string name = part == 1 ? date : fmt::format("{}.{}", date, part);
    if (renameat2(purged, removing.c_str(), purged, name.c_str(), RENAME_NOREPLACE) == 0)
      return maildir::SyncOpenDirectory(purged, kPurgedDirectory);
    // A file system that cannot refuse to replace takes an empty directory's place at most.
    if (errno == EINVAL && renameat(purged, removing.c_str(), purged, name.c_str()) == 0)
      return maildir::SyncOpenDirectory(purged, kPurgedDirectory);
    if (errno != EEXIST && errno != ENOTEMPTY) return ErrnoStatus(errno, "rename " + removing);
  }
  return absl::FailedPreconditionError(fmt::format("{} has too many parts; look at them", date));
}

absl::Status PurgedSweep::Finish(int purged, const std::string& day, const std::function<bool()>& go_on,
                                 Result& result) const {
  const auto opened = OpenBelow(purged, day);
  if (absl::IsNotFound(opened.status())) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(opened.status());
  PROV_ASSIGN_OR_RETURN(const auto entries, NamesIn(opened->get()));
  for (const std::string& entry : entries) {
    if (!go_on()) return absl::OkStatus();
    // One that cannot be removed, a mount within it for example, holds up no other one.
    const absl::Status status = RemoveTree(opened->get(), entry);
    if (status.ok()) ++result.removed;
    Log(status.ok() ? Level::kInfo : Level::kError, status.ok() ? "purged_removed" : "purged_not_removed",
        {{"root", root_}, {"day", day}, {"entry", entry}, {"error", status}});
  }
  if (unlinkat(purged, day.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT && errno != ENOTEMPTY &&
      errno != EEXIST)
    return ErrnoStatus(errno, "rmdir " + day);
  return absl::OkStatus();
}

}  // namespace prov::drivers
