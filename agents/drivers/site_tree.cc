#include "agents/drivers/site_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

constexpr mode_t kMode = 0755;
// Of a link that is about to take another's place. Always the same: what a killed agent left goes with the
// next one.
constexpr const char* kTemporary = ".new";
constexpr size_t kMostTargetOctetsTold = 100;

constexpr SitePlace kPlaces[] = {SitePlace::kServed, SitePlace::kSuspended};

SitePlace Other(SitePlace place) {
  return place == SitePlace::kServed ? SitePlace::kSuspended : SitePlace::kServed;
}

absl::Status CheckName(const std::string& name) {
  const bool good =
      !name.empty() && name.size() <= NAME_MAX && name[0] != '.' &&
      std::all_of(name.begin(), name.end(), [](unsigned char c) { return c > ' ' && c < 0x7f && c != '/'; });
  return good ? absl::OkStatus() : absl::InvalidArgumentError("a name of web space is no file name");
}

// Nothing when it is not there.
absl::StatusOr<std::optional<std::string>> ReadLink(int directory, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t octets = readlinkat(directory, name.c_str(), target, sizeof target);
  if (octets >= 0) return std::string(target, static_cast<size_t>(octets));
  if (errno == ENOENT) return std::nullopt;
  if (errno == EINVAL) {
    return absl::FailedPreconditionError(fmt::format("{} is there and is no link; move it away", name));
  }
  return ErrnoStatus(errno, fmt::format("read link {}", name));
}

absl::Status Unlink(int directory, const std::string& name) {
  if (unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, fmt::format("remove {}", name));
}

absl::Status ReplaceLink(int directory, const std::string& name, const std::string& target) {
  PROV_RETURN_IF_ERROR(Unlink(directory, kTemporary));
  if (symlinkat(target.c_str(), directory, kTemporary) != 0) return ErrnoStatus(errno, "make a link");
  if (renameat(directory, kTemporary, directory, name.c_str()) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, fmt::format("rename to {}", name));
}

}  // namespace

std::string SiteTree::PathOf(SitePlace place) const {
  return fmt::format("{}/{}", root_, place == SitePlace::kServed ? kServedDirectory : kSuspendedDirectory);
}

absl::StatusOr<FileDescriptor> SiteTree::Open(SitePlace place) const {
  const std::string path = PathOf(place);
  const auto open_it = [&] { return FileDescriptor(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); };
  FileDescriptor fd = open_it();
  if (!fd.valid() && errno == ENOENT) {
    PROV_RETURN_IF_ERROR(EnsureDirectory(root_, kMode));
    PROV_RETURN_IF_ERROR(EnsureDirectory(path, kMode));
    fd = open_it();
  }
  if (!fd.valid()) return ErrnoStatus(errno, fmt::format("open {}", path));
  return fd;
}

absl::StatusOr<std::optional<std::string>> SiteTree::HomeOf(const std::string& name) const {
  PROV_RETURN_IF_ERROR(CheckName(name));
  for (const SitePlace place : kPlaces) {
    PROV_ASSIGN_OR_RETURN(const FileDescriptor directory, Open(place));
    PROV_ASSIGN_OR_RETURN(auto home, ReadLink(directory.get(), name));
    if (home) return home;
  }
  return std::nullopt;
}

absl::Status SiteTree::Put(const std::string& name, const std::string& home, SitePlace place) {
  PROV_RETURN_IF_ERROR(CheckName(name));
  const std::lock_guard lock(mutex_);
  PROV_ASSIGN_OR_RETURN(const FileDescriptor here, Open(place));
  PROV_ASSIGN_OR_RETURN(const FileDescriptor there, Open(Other(place)));
  PROV_ASSIGN_OR_RETURN(const auto shown_here, ReadLink(here.get(), name));
  PROV_ASSIGN_OR_RETURN(const auto shown_there, ReadLink(there.get(), name));
  if (shown_here != home && shown_there == home) {
    if (renameat(there.get(), name.c_str(), here.get(), name.c_str()) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, fmt::format("move {}", name));
  }
  if (shown_here != home) PROV_RETURN_IF_ERROR(ReplaceLink(here.get(), name, home));
  return shown_there ? Unlink(there.get(), name) : absl::OkStatus();
}

absl::Status SiteTree::Remove(const std::string& name, const std::string& home) {
  PROV_RETURN_IF_ERROR(CheckName(name));
  const std::lock_guard lock(mutex_);
  for (const SitePlace place : kPlaces) {
    PROV_ASSIGN_OR_RETURN(const FileDescriptor directory, Open(place));
    PROV_ASSIGN_OR_RETURN(const auto shown, ReadLink(directory.get(), name));
    if (shown == home) PROV_RETURN_IF_ERROR(Unlink(directory.get(), name));
  }
  return absl::OkStatus();
}

absl::Status SiteTree::RemoveLink(SitePlace place, const std::string& name) {
  const std::lock_guard lock(mutex_);
  PROV_ASSIGN_OR_RETURN(const FileDescriptor directory, Open(place));
  PROV_ASSIGN_OR_RETURN(const auto shown, ReadLink(directory.get(), name));
  return shown ? Unlink(directory.get(), name) : absl::OkStatus();
}

absl::Status SiteTree::Sync() const {
  for (const SitePlace place : kPlaces) {
    PROV_ASSIGN_OR_RETURN(const FileDescriptor directory, Open(place));
    if (fsync(directory.get()) != 0) return ErrnoStatus(errno, fmt::format("fsync {}", PathOf(place)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SiteTree::Compare(const std::string& name, const std::string& home,
                                              std::optional<SitePlace> wanted) const {
  for (const SitePlace place : kPlaces) {
    PROV_ASSIGN_OR_RETURN(const FileDescriptor directory, Open(place));
    const auto shown = ReadLink(directory.get(), name);
    if (absl::IsFailedPrecondition(shown.status())) return std::string(MessageOf(shown.status()));
    PROV_RETURN_IF_ERROR(shown.status());
    const std::string path = fmt::format("{}/{}", PathOf(place), name);
    if (place == wanted && !*shown) return fmt::format("{} is missing", path);
    if (place == wanted && **shown != home) {
      return fmt::format("{} shows {}", path, absl::CHexEscape((*shown)->substr(0, kMostTargetOctetsTold)));
    }
    if (place != wanted && *shown == home) return fmt::format("{} is still there", path);
  }
  return "";
}

absl::Status SiteTree::ForEachName(
    const std::function<void(SitePlace, const std::string& name)>& visit) const {
  for (const SitePlace place : kPlaces) {
    PROV_ASSIGN_OR_RETURN(FileDescriptor fd, Open(place));
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(fdopendir(fd.get()), &closedir);
    if (directory == nullptr) return ErrnoStatus(errno, fmt::format("read {}", PathOf(place)));
    fd.Release();
    errno = 0;
    while (const dirent* entry = readdir(directory.get())) {
      if (entry->d_name[0] != '.') visit(place, entry->d_name);
      errno = 0;
    }
    if (errno != 0) return ErrnoStatus(errno, fmt::format("read {}", PathOf(place)));
  }
  return absl::OkStatus();
}

}  // namespace prov::drivers
