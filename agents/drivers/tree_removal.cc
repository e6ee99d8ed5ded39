#include "agents/drivers/tree_removal.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <string_view>

#include "common/file.h"
#include "common/random.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

// Each pass takes at least one level off the deepest branch; paths end at PATH_MAX, made by hand they can
// be deeper.
constexpr int kMaxPasses = 100000;

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};

absl::StatusOr<FileDescriptor> OpenDirectory(int parent, const std::string& name) {
  FileDescriptor fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, fmt::format("open {}", name));
  return fd;
}

// Calls `visit` with each name. Stops at the first error.
absl::Status ForEachName(int directory, const std::function<absl::Status(const std::string&)>& visit) {
  const int own = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return ErrnoStatus(errno, "open directory to empty it");
  const std::unique_ptr<DIR, DirCloser> stream(fdopendir(own));
  if (stream == nullptr) {
    close(own);
    return absl::ResourceExhaustedError("no memory to read a directory");
  }
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (entry == nullptr) return errno == 0 ? absl::OkStatus() : ErrnoStatus(errno, "read directory");
    const std::string name = entry->d_name;
    if (name != "." && name != "..") PROV_RETURN_IF_ERROR(visit(name));
  }
}

// Whether it was no directory, and is gone.
absl::StatusOr<bool> Unlink(int directory, const std::string& name) {
  if (unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return true;
  if (errno == EISDIR || errno == EPERM) return false;
  return ErrnoStatus(errno, fmt::format("unlink {}", name));
}

// Empties one directory below `top`: files go, directories move up to `top`, for a later pass.
absl::Status Flatten(int top, const std::string& name, dev_t device) {
  auto directory = OpenDirectory(top, name);
  if (absl::IsNotFound(directory.status())) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(directory.status());
  struct stat info;
  if (fstat(directory->get(), &info) != 0) return ErrnoStatus(errno, "stat directory");
  if (info.st_dev != device) {
    return absl::FailedPreconditionError(fmt::format("{} is another file system; unmount it first", name));
  }
  PROV_RETURN_IF_ERROR(ForEachName(directory->get(), [&](const std::string& child) -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const bool gone, Unlink(directory->get(), child));
    if (gone) return absl::OkStatus();
    const std::string unique = "removed-" + RandomHex(16);
    if (renameat(directory->get(), child.c_str(), top, unique.c_str()) == 0 || errno == ENOENT) {
      return absl::OkStatus();
    }
    return ErrnoStatus(errno, fmt::format("move {} to remove it", child));
  }));
  if (unlinkat(top, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno == ENOTEMPTY || errno == EEXIST) return absl::OkStatus();  // filled meanwhile: the next pass
  return ErrnoStatus(errno, fmt::format("rmdir {}", name));
}

absl::Status Empty(int top) {
  struct stat info;
  if (fstat(top, &info) != 0) return ErrnoStatus(errno, "stat directory");
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    bool any = false;
    PROV_RETURN_IF_ERROR(ForEachName(top, [&](const std::string& name) -> absl::Status {
      any = true;
      PROV_ASSIGN_OR_RETURN(const bool gone, Unlink(top, name));
      return gone ? absl::OkStatus() : Flatten(top, name, info.st_dev);
    }));
    if (!any) return absl::OkStatus();
  }
  return absl::UnavailableError("it is filled as quickly as it is emptied");
}

}  // namespace

absl::Status RemoveTree(int parent, const std::string& name) {
  PROV_ASSIGN_OR_RETURN(const bool gone, Unlink(parent, name));
  if (gone) return absl::OkStatus();
  const auto top = OpenDirectory(parent, name);
  if (absl::IsNotFound(top.status())) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(top.status());
  PROV_RETURN_IF_ERROR(Annotate(Empty(top->get()), name));
  if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, fmt::format("rmdir {}", name));
}

}  // namespace prov::drivers
