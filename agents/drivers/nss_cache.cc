#include "agents/drivers/nss_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "common/file.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

constexpr mode_t kFileMode = 0644;
constexpr size_t kMaxFileOctets = size_t{1} << 30;
constexpr std::string_view kShell = "/usr/sbin/nologin";

struct IndexEntry {
  std::string key;
  size_t offset = 0;
};

std::string RenderIndex(std::vector<IndexEntry> entries) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  size_t longest_key = 0, longest_offset = 0;
  for (const IndexEntry& entry : entries) {
    longest_key = std::max(longest_key, entry.key.size());
    longest_offset = std::max(longest_offset, fmt::formatted_size("{}", entry.offset));
  }
  const size_t width = longest_key + longest_offset + 2;  // a NUL after each
  std::string index;
  index.reserve(entries.size() * (width + 1));
  for (const IndexEntry& entry : entries) {
    const size_t begin = index.size();
    index.append(entry.key).push_back('\0');
    index.append(fmt::format("{}", entry.offset));
    index.resize(begin + width, '\0');
    index.push_back('\n');
  }
  return index;
}

std::string GecosOf(const UnixAccount& account) {
  std::string name = account.display_name;
  std::replace(name.begin(), name.end(), ':', ' ');
  return name;
}

// One file and where it goes.
struct Target {
  std::string path;
  const std::string* content;
};

absl::StatusOr<bool> IsSo(const Target& target) {
  const auto content = ReadFile(target.path, kMaxFileOctets);
  if (absl::IsNotFound(content.status()) || absl::IsResourceExhausted(content.status())) return false;
  PROV_RETURN_IF_ERROR(content.status());
  return *content == *target.content;
}

// 0 when it is not there.
time_t ModifiedAt(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_mtime : 0;
}

// Always the same name: what a writer that was killed left behind goes with the next write.
std::string TemporaryOf(const std::string& path) { return path + ".tmp"; }

absl::Status WriteAt(const std::string& path, std::string_view content, time_t modified) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, fmt::format("remove {}", path));
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode));
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("create {}", path));
  PROV_RETURN_IF_ERROR(Annotate(WriteAll(file.get(), content), path));
  const timespec times[2] = {{.tv_sec = modified, .tv_nsec = 0}, {.tv_sec = modified, .tv_nsec = 0}};
  if (fchmod(file.get(), kFileMode) != 0) return ErrnoStatus(errno, fmt::format("chmod {}", path));
  if (futimens(file.get(), times) != 0) return ErrnoStatus(errno, fmt::format("set time of {}", path));
  if (fsync(file.get()) != 0) return ErrnoStatus(errno, fmt::format("fsync {}", path));
  return Annotate(file.Close(), path);
}

// Everything is written beside its place first, so that the renames come close together.
absl::Status ReplaceAll(const std::vector<Target>& targets, time_t modified) {
  absl::Status status;
  for (const Target& target : targets) {
    if (status.ok()) status = WriteAt(TemporaryOf(target.path), *target.content, modified);
  }
  for (const Target& target : targets) {
    if (status.ok() && rename(TemporaryOf(target.path).c_str(), target.path.c_str()) != 0) {
      status = ErrnoStatus(errno, fmt::format("rename to {}", target.path));
    }
  }
  if (!status.ok()) {
    for (const Target& target : targets) unlink(TemporaryOf(target.path).c_str());
  }
  return status;
}

}  // namespace

NssCacheFiles RenderNssCache(const std::vector<UnixAccount>& accounts) {
  NssCacheFiles files;
  std::vector<IndexEntry> passwd_names, passwd_uids, group_names, group_gids;
  for (const UnixAccount& account : accounts) {
    passwd_names.push_back({account.login, files.passwd.size()});
    passwd_uids.push_back({fmt::format("{}", account.uid), files.passwd.size()});
    files.passwd += fmt::format("{}:*:{}:{}:{}:{}:{}\n", account.login, account.uid, account.uid,
                                GecosOf(account), account.home, kShell);
    group_names.push_back({account.login, files.group.size()});
    group_gids.push_back({fmt::format("{}", account.uid), files.group.size()});
    files.group += fmt::format("{}:*:{}:\n", account.login, account.uid);
  }
  files.passwd_by_name = RenderIndex(std::move(passwd_names));
  files.passwd_by_uid = RenderIndex(std::move(passwd_uids));
  files.group_by_name = RenderIndex(std::move(group_names));
  files.group_by_gid = RenderIndex(std::move(group_gids));
  return files;
}

absl::StatusOr<bool> WriteNssCache(const std::string& root, const NssCacheFiles& files) {
  const std::string etc = root == "/" ? "/etc" : root + "/etc";
  PROV_RETURN_IF_ERROR(EnsureDirectory(etc, 0755));
  const std::string passwd = etc + "/passwd.cache", group = etc + "/group.cache";
  const std::vector<Target> targets = {
      {passwd, &files.passwd},
      {passwd + ".ixname", &files.passwd_by_name},
      {passwd + ".ixuid", &files.passwd_by_uid},
      {group, &files.group},
      {group + ".ixname", &files.group_by_name},
      {group + ".ixgid", &files.group_by_gid},
  };
  bool all_so = true;
  time_t modified = time(nullptr);
  for (const Target& target : targets) {
    if (all_so) {
      PROV_ASSIGN_OR_RETURN(all_so, IsSo(target));
    }
    modified = std::max(modified, ModifiedAt(target.path) + 1);
  }
  if (all_so) return false;
  PROV_RETURN_IF_ERROR(ReplaceAll(targets, modified));
  PROV_RETURN_IF_ERROR(SyncDirectory(etc));
  return true;
}

}  // namespace prov::drivers
