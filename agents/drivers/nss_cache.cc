#include "agents/drivers/nss_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "agents/drivers/nss_cache_render.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

constexpr mode_t kFileMode = 0644;
constexpr size_t kMostFileOctets = size_t{1} << 30;  // of one that is told line by line
constexpr size_t kMostNamesTold = 3;
constexpr size_t kMostNameOctetsTold = 40;

struct Part {
  CacheMap map;
  CachePart part;
  const char* name;
};
// The files of one map are beside each other.
constexpr size_t kPartsOfMap = 3;
constexpr std::array<Part, 2 * kPartsOfMap> kParts = {{
    {CacheMap::kPasswd, CachePart::kMain, "passwd.cache"},
    {CacheMap::kPasswd, CachePart::kByName, "passwd.cache.ixname"},
    {CacheMap::kPasswd, CachePart::kByNumber, "passwd.cache.ixuid"},
    {CacheMap::kGroup, CachePart::kMain, "group.cache"},
    {CacheMap::kGroup, CachePart::kByName, "group.cache.ixname"},
    {CacheMap::kGroup, CachePart::kByNumber, "group.cache.ixgid"},
}};

std::string EtcOf(const std::string& root) { return root == "/" ? "/etc" : root + "/etc"; }
std::string PathOf(const std::string& root, const Part& part) {
  return fmt::format("{}/{}", EtcOf(root), part.name);
}
// Always the same name: what a writer that was killed left behind goes with the next write.
std::string TemporaryOf(const std::string& path) { return path + ".tmp"; }

// 0 when it is not there.
time_t ModifiedAt(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_mtime : 0;
}

absl::Status WriteAt(const std::string& path, const NssCacheRendering& rendering, const Part& part,
                     time_t modified) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, fmt::format("remove {}", path));
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode));
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("create {}", path));
  const auto write = [&](std::string_view piece) -> absl::Status {
    PROV_RETURN_IF_ERROR(Annotate(WriteAll(file.get(), piece), path));
    // The disk may begin: less is left for the fsync. Errors are that one's to tell.
    sync_file_range(file.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    return absl::OkStatus();
  };
  PROV_RETURN_IF_ERROR(rendering.Render(part.map, part.part, write));
  const timespec times[2] = {{.tv_sec = modified, .tv_nsec = 0}, {.tv_sec = modified, .tv_nsec = 0}};
  if (fchmod(file.get(), kFileMode) != 0) return ErrnoStatus(errno, fmt::format("chmod {}", path));
  if (futimens(file.get(), times) != 0) return ErrnoStatus(errno, fmt::format("set time of {}", path));
  if (fsync(file.get()) != 0) return ErrnoStatus(errno, fmt::format("fsync {}", path));
  return Annotate(file.Close(), path);
}

absl::Status WriteBesides(const std::string& root, const NssCacheRendering& rendering,
                          std::span<const Part> parts, time_t modified) {
  for (const Part& part : parts) {
    PROV_RETURN_IF_ERROR(WriteAt(TemporaryOf(PathOf(root, part)), rendering, part, modified));
  }
  return absl::OkStatus();
}

// Everything is written beside its place first, so that the renames come close together.
absl::Status ReplaceAll(const std::string& root, const NssCacheRendering& rendering, time_t modified) {
  const std::span<const Part> parts(kParts);
  absl::Status passwd, group;
  {
    const std::jthread other(
        [&] { group = WriteBesides(root, rendering, parts.subspan(kPartsOfMap), modified); });
    passwd = WriteBesides(root, rendering, parts.first(kPartsOfMap), modified);
  }
  absl::Status status = passwd.ok() ? group : passwd;
  for (const Part& part : parts) {
    const std::string path = PathOf(root, part);
    if (status.ok() && rename(TemporaryOf(path).c_str(), path.c_str()) != 0) {
      status = ErrnoStatus(errno, fmt::format("rename to {}", path));
    }
  }
  if (!status.ok()) {
    for (const Part& part : parts) unlink(TemporaryOf(PathOf(root, part)).c_str());
  }
  return status;
}

// Ends a rendering whose beginning is not what the file holds.
absl::Status Differs() { return absl::AbortedError("differs"); }

// NOT_FOUND when there is no such file.
absl::StatusOr<bool> IsSo(const std::string& path, const NssCacheRendering& rendering, const Part& part) {
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("open {}", path));
  std::string found;
  const auto read_on = [&](size_t octets) -> absl::Status {
    found.resize(octets);
    size_t have = 0;
    while (have < octets) {
      const ssize_t got = read(file.get(), found.data() + have, octets - have);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoStatus(errno, fmt::format("read {}", path));
      if (got == 0) break;
      have += static_cast<size_t>(got);
    }
    found.resize(have);
    return absl::OkStatus();
  };
  const auto compare = [&](std::string_view piece) -> absl::Status {
    PROV_RETURN_IF_ERROR(read_on(piece.size()));
    return found == piece ? absl::OkStatus() : Differs();
  };
  const absl::Status same = rendering.Render(part.map, part.part, compare);
  if (absl::IsAborted(same)) return false;
  PROV_RETURN_IF_ERROR(same);
  PROV_RETURN_IF_ERROR(read_on(1));
  return found.empty();
}

std::string_view NameOf(std::string_view line) { return line.substr(0, line.find(':')); }

// In the order of the names that they begin with; without their newlines.
std::vector<std::string_view> SortedLines(std::string_view content) {
  std::vector<std::string_view> lines;
  while (!content.empty()) {
    const std::string_view line = content.substr(0, content.find('\n'));
    lines.push_back(line);
    content.remove_prefix(std::min(content.size(), line.size() + 1));
  }
  std::stable_sort(lines.begin(), lines.end(),
                   [](std::string_view a, std::string_view b) { return NameOf(a) < NameOf(b); });
  return lines;
}

// How many, and the first few by name, whatever octets somebody put into them.
class Names {
 public:
  void Add(std::string_view name) {
    if (++count_ <= kMostNamesTold) {
      first_.push_back(absl::CHexEscape(std::string(name.substr(0, kMostNameOctetsTold))));
    }
  }
  // "2 added (mallory, root2)"
  void TellAs(std::string_view what, std::vector<std::string>& parts) const {
    if (count_ == 0) return;
    const char* more = count_ > first_.size() ? ", …" : "";
    parts.push_back(fmt::format("{} {} ({}{})", count_, what, fmt::join(first_, ", "), more));
  }

 private:
  size_t count_ = 0;
  std::vector<std::string> first_;
};

// The line of a main file, without its newline.
std::string LineIn(CacheMap map, const PasswdLine& line) {
  if (map == CacheMap::kPasswd) return std::string(line.text.substr(0, line.text.size() - 1));
  return fmt::format("{}:*:{}:", line.login(), line.uid);
}

std::string DifferenceOfLines(std::string_view content, CacheMap map, const std::vector<PasswdLine>& wanted) {
  const std::vector<std::string_view> lines = SortedLines(content);
  Names added, lacking, changed;
  auto found = lines.begin();
  for (const PasswdLine& line : wanted) {
    for (; found != lines.end() && NameOf(*found) < line.login(); ++found) added.Add(NameOf(*found));
    if (found == lines.end() || NameOf(*found) != line.login()) {
      lacking.Add(line.login());
      continue;
    }
    if (*found != LineIn(map, line)) changed.Add(line.login());
    ++found;
  }
  for (; found != lines.end(); ++found) added.Add(NameOf(*found));
  std::vector<std::string> parts;
  added.TellAs("added", parts);
  lacking.TellAs("taken away", parts);
  changed.TellAs("changed", parts);
  return parts.empty() ? "its lines are in another order" : fmt::format("lines: {}", fmt::join(parts, "; "));
}

// Nothing: it is as it should be.
absl::StatusOr<std::optional<std::string>> CompareFile(const std::string& path,
                                                       const NssCacheRendering& rendering, const Part& part,
                                                       const std::vector<PasswdLine>& lines) {
  const auto so = IsSo(path, rendering, part);
  if (absl::IsNotFound(so.status())) return "is missing";
  PROV_RETURN_IF_ERROR(so.status());
  if (*so) return std::nullopt;
  if (part.part != CachePart::kMain) return "is not the index that belongs to its file";
  const auto content = ReadFile(path, kMostFileOctets);
  if (absl::IsResourceExhausted(content.status())) {
    return fmt::format("is larger than {} octets", kMostFileOctets);
  }
  PROV_RETURN_IF_ERROR(content.status());
  return DifferenceOfLines(*content, part.map, lines);
}

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec; }

}  // namespace

std::string PasswdCachePath(const std::string& root) { return PathOf(root, kParts.front()); }

absl::Status WriteNssCache(const std::string& root, const std::vector<PasswdLine>& lines) {
  const std::string etc = EtcOf(root);
  PROV_RETURN_IF_ERROR(EnsureDirectory(etc, 0755));
  time_t modified = time(nullptr);
  for (const Part& part : kParts) modified = std::max(modified, ModifiedAt(PathOf(root, part)) + 1);
  PROV_RETURN_IF_ERROR(ReplaceAll(root, NssCacheRendering(lines), modified));
  return SyncDirectory(etc);
}

absl::StatusOr<bool> IsNssCacheSo(const std::string& root, const std::vector<PasswdLine>& lines) {
  const NssCacheRendering rendering(lines);
  for (const Part& part : kParts) {
    const auto so = IsSo(PathOf(root, part), rendering, part);
    if (absl::IsNotFound(so.status())) return false;
    if (!so.ok() || !*so) return so;
  }
  return true;
}

absl::StatusOr<std::vector<Difference>> CompareNssCache(const std::string& root,
                                                        const std::vector<PasswdLine>& lines) {
  const NssCacheRendering rendering(lines);
  std::vector<Difference> differences;
  for (const Part& part : kParts) {
    const std::string path = PathOf(root, part);
    PROV_ASSIGN_OR_RETURN(std::optional<std::string> difference, CompareFile(path, rendering, part, lines));
    if (difference) differences.push_back({path, *std::move(difference)});
  }
  return differences;
}

absl::StatusOr<NssCacheStamp> NssCacheStamp::Of(const std::string& root) {
  NssCacheStamp stamp;
  for (size_t i = 0; i < kParts.size(); ++i) {
    struct stat info;
    const std::string path = PathOf(root, kParts[i]);
    if (stat(path.c_str(), &info) == 0) {
      stamp.files_[i] = {info.st_dev, info.st_ino, info.st_size, Nanoseconds(info.st_mtim),
                         Nanoseconds(info.st_ctim)};
    } else if (errno != ENOENT) {
      return ErrnoStatus(errno, fmt::format("stat {}", path));
    }
  }
  return stamp;
}

}  // namespace prov::drivers
