#include "agents/mail/maildir/directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr size_t kMaxMailboxIdOctets = 64;
constexpr mode_t kDirectoryMode = 0700;
// Each fsync flushes the disk's cache, even where the journal has nothing new. Other programs' unwritten data
// is what makes a whole file system dearer, so a few are still synced one by one.
constexpr size_t kMostSyncedSingly = 32;

bool IsMailboxId(std::string_view id) {
  if (id.empty() || id.size() > kMaxMailboxIdOctets) return false;
  for (const char c : id) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

// FNV-1a, folded to 16 bits. It names directories on disk: it may never change.
uint16_t HashOf(std::string_view id) {
  uint64_t hash = 14695981039346656037ull;
  for (const unsigned char c : id) hash = (hash ^ c) * 1099511628211ull;
  return static_cast<uint16_t>(hash ^ (hash >> 16) ^ (hash >> 32) ^ (hash >> 48));
}

// Hundreds of names for each system call.
constexpr size_t kNamesOctets = 64 * 1024;

absl::Status NoDirectory(std::string_view name) {
  return absl::FailedPreconditionError(fmt::format("{} is not a directory; mend it by hand", name));
}

// Disks that a thread has found to be local, while it could wait for the answer. Thread-safe.
class LocalDisks {
 public:
  void Add(dev_t device) {
    const std::lock_guard lock(mutex_);
    devices_.insert(device);
  }
  bool Contain(dev_t device) const {
    const std::lock_guard lock(mutex_);
    return devices_.contains(device);
  }

 private:
  mutable std::mutex mutex_;
  std::set<dev_t> devices_;
};

LocalDisks& TheLocalDisks() {
  static LocalDisks& disks = *new LocalDisks;
  return disks;
}

// Does not block: no server is asked whether what is known of it still holds.
bool IsOnKnownDisk(int fd) {
  struct statx info;
  return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &info) == 0 &&
         TheLocalDisks().Contain(makedev(info.stx_dev_major, info.stx_dev_minor));
}

FileDescriptor OpenCached(int parent, const std::string& path, int flags, uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_CACHED | resolve;
  return FileDescriptor(static_cast<int>(syscall(SYS_openat2, parent, path.c_str(), &how, sizeof how)));
}

std::string PathBelowRoot(const MailboxSteps& steps) {
  return fmt::format("{}/{}/{}", steps.first, steps.second, steps.name);
}

// Where a filter of system calls has no openat2: systemd's RestrictSUIDSGID, which cannot look into its
// arguments, says that there is none.
absl::StatusOr<FileDescriptor> OpenByItsSteps(int root, const MailboxSteps& steps) {
  PROV_ASSIGN_OR_RETURN(const FileDescriptor first, OpenBelow(root, steps.first));
  PROV_ASSIGN_OR_RETURN(const FileDescriptor second, OpenBelow(first.get(), steps.second));
  return OpenBelow(second.get(), steps.name);
}

}  // namespace

absl::StatusOr<MailboxSteps> StepsOf(std::string_view mailbox_id) {
  if (!IsMailboxId(mailbox_id)) {
    return InvalidField("mailbox_id", "must be 1 to 64 of the characters a-z, 0-9 and -");
  }
  const uint16_t hash = HashOf(mailbox_id);
  return MailboxSteps{fmt::format("{:02x}", hash >> 8), fmt::format("{:02x}", hash & 0xff),
                      std::string(mailbox_id)};
}

absl::StatusOr<FileDescriptor> OpenRoot(std::string_view root) {
  const std::string path(root);
  FileDescriptor fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, fmt::format("open maildir root {}", path));
  return fd;
}

absl::StatusOr<FileDescriptor> OpenBelow(int parent, const std::string& name) {
  FileDescriptor fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd.valid()) return fd;
  if (errno == ELOOP || errno == ENOTDIR) return NoDirectory(name);
  return ErrnoStatus(errno, fmt::format("open {}", name));
}

absl::Status MakeBelow(int parent, const std::string& name) {
  // NFS may have made it and still report EEXIST to its own retry: both mean that it is there.
  if (mkdirat(parent, name.c_str(), kDirectoryMode) != 0 && errno != EEXIST)
    return ErrnoStatus(errno, fmt::format("mkdir {}", name));
  return absl::OkStatus();
}

absl::StatusOr<FileDescriptor> MakeAndOpen(int parent, const std::string& name) {
  PROV_RETURN_IF_ERROR(MakeBelow(parent, name));
  return OpenBelow(parent, name);
}

absl::StatusOr<FileDescriptor> OpenMailbox(std::string_view root, std::string_view mailbox_id) {
  PROV_ASSIGN_OR_RETURN(const MailboxSteps steps, StepsOf(mailbox_id));
  PROV_ASSIGN_OR_RETURN(const FileDescriptor base, OpenRoot(root));
  const std::string path = PathBelowRoot(steps);
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  FileDescriptor fd(static_cast<int>(syscall(SYS_openat2, base.get(), path.c_str(), &how, sizeof how)));
  if (fd.valid()) return fd;
  if (errno == ENOSYS) return OpenByItsSteps(base.get(), steps);
  if (errno == ELOOP || errno == ENOTDIR) return NoDirectory(path);
  return ErrnoStatus(errno, fmt::format("open {}", path));
}

FileDescriptor OpenFromMemory(int parent, const std::string& path, int flags) {
  return OpenCached(parent, path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

FileDescriptor OpenMailboxFromMemory(std::string_view root, std::string_view mailbox_id) {
  const auto steps = StepsOf(mailbox_id);
  if (!steps.ok()) return {};
  // A place in the tree: a server is not told that it is open.
  const FileDescriptor base = OpenCached(AT_FDCWD, std::string(root), O_PATH | O_DIRECTORY, 0);
  if (!base.valid() || !IsOnKnownDisk(base.get())) return {};
  FileDescriptor mailbox = OpenFromMemory(base.get(), PathBelowRoot(*steps), O_RDONLY | O_DIRECTORY);
  return mailbox.valid() && IsOnKnownDisk(mailbox.get()) ? std::move(mailbox) : FileDescriptor();
}

bool IsOnLocalDisk(int fd) {
  struct statfs info;
  if (fstatfs(fd, &info) != 0) return false;
  constexpr std::array<decltype(info.f_type), 5> kLocal = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,
                                                           BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC};
  if (std::find(kLocal.begin(), kLocal.end(), info.f_type) == kLocal.end()) return false;
  const auto identity = IdentityOf(fd);
  // Without a disk below (btrfs, tmpfs) the number may be another file system's later, a server's even.
  if (identity.ok() && major(identity->device) != 0) TheLocalDisks().Add(identity->device);
  return identity.ok();
}

absl::StatusOr<DirectoryIdentity> IdentityOf(int directory) {
  struct stat info;
  if (fstat(directory, &info) != 0) return ErrnoStatus(errno, "look at an open directory");
  return DirectoryIdentity{info.st_dev, info.st_ino};
}

absl::Status CheckInPlace(std::string_view root, std::string_view mailbox_id,
                          const DirectoryIdentity& mailbox) {
  PROV_ASSIGN_OR_RETURN(const MailboxSteps steps, StepsOf(mailbox_id));
  const std::string above = fmt::format("{}/{}/{}", root, steps.first, steps.second);
  // A path is walked from memory; to open the directory makes a host ask the server what has become of it.
  const FileDescriptor open_above(open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat info;
  const bool found =
      open_above.valid() && fstatat(open_above.get(), steps.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
  if (!found && errno != ENOENT) return ErrnoStatus(errno, fmt::format("look at {}", steps.name));
  if (found && mailbox == DirectoryIdentity{info.st_dev, info.st_ino}) return absl::OkStatus();
  return absl::UnavailableError("the mailbox has just gone elsewhere");
}

absl::StatusOr<std::string> InspectParts(int mailbox) {
  for (const char* part : {"tmp", "new", "cur"}) {
    struct stat info;
    if (fstatat(mailbox, part, &info, AT_SYMLINK_NOFOLLOW) == 0) {
      if (!S_ISDIR(info.st_mode)) return NoDirectory(part);
    } else if (errno == ENOENT) {
      return fmt::format("has no {}", part);
    } else {
      return ErrnoStatus(errno, fmt::format("look at {}", part));
    }
  }
  return "";
}

absl::Status ForEachMailName(int directory, const std::function<void(const dirent&)>& visit) {
  static_assert(offsetof(dirent, d_name) == offsetof(dirent64, d_name), "off_t has 64 bits");
  if (lseek(directory, 0, SEEK_SET) < 0) return ErrnoStatus(errno, "read mail directory");
  const auto names = std::make_unique_for_overwrite<char[]>(kNamesOctets);
  for (;;) {
    const ssize_t got = getdents64(directory, names.get(), kNamesOctets);
    if (got == 0) return absl::OkStatus();
    if (got < 0) return ErrnoStatus(errno, "read mail directory");
    for (ssize_t at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent*>(names.get() + at);
      if (entry->d_name[0] != '.') visit(*entry);
      at += entry->d_reclen;
    }
  }
}

bool IsRegularFile(int directory, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_REG;
  struct stat info;
  return fstatat(directory, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
}

absl::Status SyncOpenDirectory(int fd, std::string_view name) {
  if (fsync(fd) != 0) return ErrnoStatus(errno, fmt::format("fsync {}", name));
  return absl::OkStatus();
}

absl::Status DirectorySync::Add(FileDescriptor directory) {
  struct stat info;
  if (fstat(directory.get(), &info) != 0) return ErrnoStatus(errno, "stat directory");
  const auto [first, is_new] = first_of_device_.try_emplace(info.st_dev, std::move(directory));
  if (is_new || many_) return absl::OkStatus();
  many_ = first_of_device_.size() + others_.size() >= kMostSyncedSingly;
  if (many_) {
    others_.clear();
  } else {
    others_.push_back(std::move(directory));
  }
  return absl::OkStatus();
}

absl::Status DirectorySync::Finish(std::string_view name) {
  absl::Status status;
  for (const auto& [device, directory] : first_of_device_) {
    if (!many_) {
      status.Update(SyncOpenDirectory(directory.get(), name));
    } else if (syncfs(directory.get()) != 0) {
      status.Update(ErrnoStatus(errno, fmt::format("syncfs for {}", name)));
    }
  }
  for (const FileDescriptor& directory : others_) {
    status.Update(SyncOpenDirectory(directory.get(), name));
  }
  first_of_device_.clear();
  others_.clear();
  many_ = false;
  return status;
}

}  // namespace prov::maildir
