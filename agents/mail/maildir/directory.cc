#include "agents/mail/maildir/directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
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

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};

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
  if (errno == ELOOP || errno == ENOTDIR) {
    return absl::FailedPreconditionError(fmt::format("{} is not a directory; mend it by hand", name));
  }
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
  PROV_ASSIGN_OR_RETURN(const FileDescriptor first, OpenBelow(base.get(), steps.first));
  PROV_ASSIGN_OR_RETURN(const FileDescriptor second, OpenBelow(first.get(), steps.second));
  return OpenBelow(second.get(), steps.name);
}

absl::Status ForEachMailName(int directory, const std::function<void(const dirent&)>& visit) {
  const int own = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return ErrnoStatus(errno, "open mail directory");
  const std::unique_ptr<DIR, DirCloser> stream(fdopendir(own));
  if (stream == nullptr) {
    close(own);
    return absl::ResourceExhaustedError("no memory to read a mail directory");
  }
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (entry == nullptr) return errno == 0 ? absl::OkStatus() : ErrnoStatus(errno, "read mail directory");
    if (entry->d_name[0] != '.') visit(*entry);
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
