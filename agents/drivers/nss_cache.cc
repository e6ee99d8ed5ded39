#include "agents/drivers/nss_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

constexpr mode_t kFileMode = 0644;
constexpr size_t kMaxFileOctets = size_t{1} << 30;
constexpr size_t kMostNamesTold = 3;
constexpr size_t kMostNameOctetsTold = 40;
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

// Missing, or larger than any that we write.
bool IsUnlikeOurs(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsResourceExhausted(status);
}

absl::StatusOr<bool> IsSo(const Target& target) {
  const auto content = ReadFile(target.path, kMaxFileOctets);
  if (IsUnlikeOurs(content.status())) return false;
  PROV_RETURN_IF_ERROR(content.status());
  return *content == *target.content;
}

// 0 when it is not there.
time_t ModifiedAt(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_mtime : 0;
}

std::string EtcOf(const std::string& root) { return root == "/" ? "/etc" : root + "/etc"; }

std::vector<Target> TargetsOf(const std::string& root, const NssCacheFiles& files) {
  const std::string passwd = EtcOf(root) + "/passwd.cache", group = EtcOf(root) + "/group.cache";
  return {
      {passwd, &files.passwd},
      {passwd + ".ixname", &files.passwd_by_name},
      {passwd + ".ixuid", &files.passwd_by_uid},
      {group, &files.group},
      {group + ".ixname", &files.group_by_name},
      {group + ".ixgid", &files.group_by_gid},
  };
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

// Lines by the name that they begin with.
std::map<std::string_view, std::string_view> LinesByName(std::string_view content) {
  std::map<std::string_view, std::string_view> lines;
  while (!content.empty()) {
    const std::string_view line = content.substr(0, content.find('\n'));
    lines.emplace(line.substr(0, line.find(':')), line);
    content.remove_prefix(std::min(content.size(), line.size() + 1));
  }
  return lines;
}

// "2 added (mallory, root2)": the first few by name, whatever octets somebody put into them.
std::string Told(std::string_view what, const std::vector<std::string_view>& names) {
  std::vector<std::string> first;
  for (const std::string_view name : names) {
    if (first.size() == kMostNamesTold) break;
    first.push_back(absl::CHexEscape(std::string(name.substr(0, kMostNameOctetsTold))));
  }
  const char* more = names.size() > first.size() ? ", …" : "";
  return fmt::format("{} {} ({}{})", names.size(), what, fmt::join(first, ", "), more);
}

std::string DifferenceOfLines(std::string_view found, std::string_view wanted) {
  const auto found_lines = LinesByName(found), wanted_lines = LinesByName(wanted);
  std::vector<std::string_view> added, lacking, changed;
  for (const auto& [name, line] : found_lines) {
    const auto ours = wanted_lines.find(name);
    if (ours == wanted_lines.end()) {
      added.push_back(name);
    } else if (ours->second != line) {
      changed.push_back(name);
    }
  }
  for (const auto& [name, line] : wanted_lines) {
    if (!found_lines.contains(name)) lacking.push_back(name);
  }
  std::vector<std::string> parts;
  if (!added.empty()) parts.push_back(Told("added", added));
  if (!lacking.empty()) parts.push_back(Told("taken away", lacking));
  if (!changed.empty()) parts.push_back(Told("changed", changed));
  return parts.empty() ? "its lines are in another order" : fmt::format("lines: {}", fmt::join(parts, "; "));
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
  const std::string etc = EtcOf(root);
  PROV_RETURN_IF_ERROR(EnsureDirectory(etc, 0755));
  const std::vector<Target> targets = TargetsOf(root, files);
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

NssCacheFingerprint FingerprintOf(const NssCacheFiles& files) {
  NssCacheFingerprint fingerprint;
  for (const Target& target : TargetsOf("", files)) {
    fingerprint.push_back(std::hash<std::string>()(*target.content));
  }
  return fingerprint;
}

absl::StatusOr<NssCacheFingerprint> FingerprintOnHost(const std::string& root) {
  NssCacheFingerprint fingerprint;
  for (const Target& target : TargetsOf(root, {})) {
    const auto content = ReadFile(target.path, kMaxFileOctets);
    if (!content.ok() && !IsUnlikeOurs(content.status())) return content.status();
    fingerprint.push_back(content.ok() ? std::hash<std::string>()(*content) : 0);
  }
  return fingerprint;
}

absl::StatusOr<std::vector<Difference>> CompareNssCache(const std::string& root, const NssCacheFiles& files) {
  std::vector<Difference> differences;
  for (const Target& target : TargetsOf(root, files)) {
    const auto content = ReadFile(target.path, kMaxFileOctets);
    if (absl::IsNotFound(content.status())) {
      differences.push_back({target.path, "is missing"});
    } else if (absl::IsResourceExhausted(content.status())) {
      differences.push_back({target.path, fmt::format("is larger than {} octets", kMaxFileOctets)});
    } else if (!content.ok()) {
      return content.status();
    } else if (*content != *target.content) {
      const bool is_index = target.content != &files.passwd && target.content != &files.group;
      differences.push_back({target.path, is_index ? "is not the index that belongs to its file"
                                                   : DifferenceOfLines(*content, *target.content)});
    }
  }
  return differences;
}

}  // namespace prov::drivers
