#include "agents/drivers/purged_data.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "agents/mail/maildir/directory.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

using maildir::MakeAndOpen;
using maildir::OpenBelow;
using maildir::OpenRoot;
using maildir::SyncOpenDirectory;

constexpr int kMostOfOneEntry = 4;    // times that one entry was taken out on one day; each costs a look
constexpr int kMostAttempts = 10;     // while a day is removed just as something comes into it
constexpr int kMostMergedLevels = 8;  // of directories that are in both places; a Maildir has two

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};

absl::StatusOr<bool> IsThere(int directory, const std::string& name) {
  struct stat info;
  if (fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno == ENOENT) return false;
  return ErrnoStatus(errno, "stat " + name);
}

std::string Numbered(const std::string& entry, int number) {
  return number == 1 ? entry : fmt::format("{}.{}", entry, number);
}

// Never over something: the name that is there stays. Whether it was moved.
absl::StatusOr<bool> MoveIfFree(int from, const std::string& name, int to, const std::string& new_name) {
  if (renameat2(from, name.c_str(), to, new_name.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno == EEXIST || errno == ENOTEMPTY) return false;
  // NFS cannot refuse to replace.
  if (errno != EINVAL) return ErrnoStatus(errno, "rename " + name);
  PROV_ASSIGN_OR_RETURN(const bool taken, IsThere(to, new_name));
  if (taken) return false;
  if (renameat(from, name.c_str(), to, new_name.c_str()) == 0) return true;
  if (errno == EEXIST || errno == ENOTEMPTY) return false;
  return ErrnoStatus(errno, "rename " + name);
}

// Moves what `to` has not got, and removes directories that are empty then.
absl::Status Merge(int from, int to, int levels) {
  PROV_ASSIGN_OR_RETURN(const auto names, NamesIn(from));
  for (const std::string& name : names) {
    const auto moved = MoveIfFree(from, name, to, name);
    if (absl::IsNotFound(moved.status())) continue;  // somebody else was quicker
    PROV_RETURN_IF_ERROR(moved.status());
    if (*moved || levels == 1) continue;
    const auto inner_from = OpenBelow(from, name);
    const auto inner_to = OpenBelow(to, name);
    if (!inner_from.ok() || !inner_to.ok()) continue;  // no directories: what is there stays
    PROV_RETURN_IF_ERROR(Merge(inner_from->get(), inner_to->get(), levels - 1));
    unlinkat(from, name.c_str(), AT_REMOVEDIR);  // what is not empty stays
  }
  return SyncOpenDirectory(to, "what came back");
}

absl::Status PutBack(int day, const std::string& entry, int parent, const std::string& name) {
  const auto moved = MoveIfFree(day, entry, parent, name);
  if (absl::IsNotFound(moved.status())) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(moved.status());
  if (!*moved) {
    const auto from = OpenBelow(day, entry);
    if (absl::IsNotFound(from.status())) return absl::OkStatus();  // a clone was quicker
    PROV_RETURN_IF_ERROR(from.status());
    PROV_ASSIGN_OR_RETURN(const FileDescriptor to, OpenBelow(parent, name));
    PROV_RETURN_IF_ERROR(Merge(from->get(), to.get(), kMostMergedLevels));
    // No more than that: by now a clone may have put something else under this name.
    unlinkat(day, entry.c_str(), AT_REMOVEDIR);
  }
  PROV_RETURN_IF_ERROR(SyncOpenDirectory(parent, name));
  return SyncOpenDirectory(day, entry);
}

// ROOT/.purged, made if it is not there.
absl::StatusOr<FileDescriptor> MakePurged(const std::string& root) {
  PROV_ASSIGN_OR_RETURN(const FileDescriptor base, OpenRoot(root));
  PROV_ASSIGN_OR_RETURN(FileDescriptor purged, MakeAndOpen(base.get(), kPurgedDirectory));
  PROV_RETURN_IF_ERROR(SyncOpenDirectory(base.get(), root));
  return purged;
}

// By path, not into an open directory: a day that is being removed has another name by then, and takes
// nothing in. Whether it was moved; false: that name is taken.
absl::StatusOr<bool> MoveIntoDay(int parent, const std::string& name, int purged, const std::string& day,
                                 const std::string& entry) {
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    PROV_ASSIGN_OR_RETURN(const FileDescriptor opened, MakeAndOpen(purged, day));
    PROV_RETURN_IF_ERROR(SyncOpenDirectory(purged, kPurgedDirectory));
    const auto moved = MoveIfFree(parent, name, purged, day + "/" + entry);
    if (absl::IsNotFound(moved.status())) {
      PROV_ASSIGN_OR_RETURN(const bool still_there, IsThere(parent, name));
      if (!still_there) return true;  // a clone was quicker
      continue;
    }
    PROV_RETURN_IF_ERROR(moved.status());
    if (!*moved) return false;
    PROV_RETURN_IF_ERROR(SyncOpenDirectory(opened.get(), day));
    return true;
  }
  return absl::UnavailableError(fmt::format("{} goes as quickly as it is made", day));
}

}  // namespace

bool IsPurgedDay(std::string_view name) {
  constexpr std::string_view kPattern = "0000-00-00";
  const bool numbered = name.size() == kPattern.size() + 2;
  if (name.size() != kPattern.size() && !numbered) return false;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (size_t i = 0; i < kPattern.size(); ++i) {
    if (kPattern[i] == '0' ? !is_digit(name[i]) : name[i] != kPattern[i]) return false;
  }
  return !numbered || (name[kPattern.size()] == '.' && is_digit(name.back()));
}

absl::StatusOr<std::vector<std::string>> NamesIn(int directory) {
  // A stream of its own, from the start: the descriptor's offset is not shared with earlier readers.
  const int own = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return ErrnoStatus(errno, "open directory to list it");
  const std::unique_ptr<DIR, DirCloser> stream(fdopendir(own));
  if (stream == nullptr) {
    close(own);
    return absl::ResourceExhaustedError("no memory to read a directory");
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) return ErrnoStatus(errno, "read directory");
      return names;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
}

absl::Status TakeOut(const std::string& root, int parent, const std::string& name, const std::string& entry,
                     std::chrono::system_clock::time_point now) {
  const auto data = OpenBelow(parent, name);
  if (absl::IsNotFound(data.status())) {
    return SyncOpenDirectory(parent, name);  // whoever took it out may have been killed before its sync
  }
  // A link was put there by somebody, who should say what becomes of it.
  PROV_RETURN_IF_ERROR(data.status());
  PROV_ASSIGN_OR_RETURN(const FileDescriptor purged, MakePurged(root));
  struct stat here, there;
  if (fstat(data->get(), &here) != 0 || fstat(purged.get(), &there) != 0) return ErrnoStatus(errno, "stat");
  if (here.st_dev != there.st_dev) {
    return absl::FailedPreconditionError(fmt::format(
        "{} lies on another file system than {}, so that it cannot be kept there; mount the root as one, "
        "or set purge.grace to 0s",
        name, root));
  }
  const std::string day = fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::chrono::system_clock::to_time_t(now)));
  for (int number = 1; number <= kMostOfOneEntry; ++number) {
    PROV_ASSIGN_OR_RETURN(const bool moved,
                          MoveIntoDay(parent, name, purged.get(), day, Numbered(entry, number)));
    if (moved) return SyncOpenDirectory(parent, name);
  }
  return absl::FailedPreconditionError(fmt::format("{} was purged {} times today; look at {}/{}", entry,
                                                   kMostOfOneEntry, kPurgedDirectory, day));
}

absl::StatusOr<PurgedDays> PurgedDays::Open(const std::string& root) {
  PurgedDays days;
  PROV_ASSIGN_OR_RETURN(const FileDescriptor base, OpenRoot(root));
  const auto purged = OpenBelow(base.get(), kPurgedDirectory);
  if (absl::IsNotFound(purged.status())) return days;
  PROV_RETURN_IF_ERROR(purged.status());
  PROV_ASSIGN_OR_RETURN(const auto names, NamesIn(purged->get()));
  for (const std::string& name : names) {
    if (!IsPurgedDay(name)) continue;
    auto day = OpenBelow(purged->get(), name);
    if (absl::IsNotFound(day.status())) continue;  // removed just now
    PROV_RETURN_IF_ERROR(day.status());
    days.days_.push_back(*std::move(day));
  }
  return days;
}

absl::StatusOr<bool> PurgedDays::Has(const std::string& entry) const {
  for (const FileDescriptor& day : days_) {
    for (int number = 1; number <= kMostOfOneEntry; ++number) {
      PROV_ASSIGN_OR_RETURN(const bool there, IsThere(day.get(), Numbered(entry, number)));
      if (there) return true;
    }
  }
  return false;
}

absl::Status PurgedDays::TakeBack(const std::string& entry, int parent, const std::string& name) const {
  for (const FileDescriptor& day : days_) {
    // The last one first: it is the whole of what was in service last.
    for (int number = kMostOfOneEntry; number >= 1; --number) {
      PROV_RETURN_IF_ERROR(PutBack(day.get(), Numbered(entry, number), parent, name));
    }
  }
  return absl::OkStatus();
}

}  // namespace prov::drivers
