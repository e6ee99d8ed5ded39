#include "agents/mail/maildir/quota.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/quota_lock.h"
#include "common/file.h"
#include "common/random.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr const char* kFile = kMaildirSizeFile;
constexpr mode_t kFileMode = 0600;
constexpr int64_t kMostCounted = int64_t{1} << 60;  // no sum of lines overflows

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};

// The number at the beginning, taken off `text`; blanks before it are skipped.
std::optional<int64_t> TakeNumber(std::string_view& text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number > kMostCounted || number < -kMostCounted) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

absl::Status NoSuchFile() { return absl::InvalidArgumentError("is no maildirsize file"); }

// "1000000S,1000C", in any order.
absl::StatusOr<QuotaLimit> ParseLimit(std::string_view line) {
  QuotaLimit limit;
  while (!line.empty()) {
    const auto number = TakeNumber(line);
    if (!number || *number < 0 || line.empty()) return NoSuchFile();
    const char unit = line.front();
    line.remove_prefix(1);
    if (unit == 'S') limit.octets = *number;
    if (unit == 'C') limit.messages = *number;
    if (!line.empty() && line.front() != ',') return NoSuchFile();
    if (!line.empty()) line.remove_prefix(1);
  }
  return limit;
}

// The size that a name tells (`,S=`), if it does.
std::optional<int64_t> SizeOf(std::string_view name) {
  const size_t at = name.find(",S=");
  if (at == name.npos) return std::nullopt;
  name.remove_prefix(at + 3);
  const auto number = TakeNumber(name);
  return number && *number >= 0 ? number : std::nullopt;
}

bool IsTrashed(std::string_view name) {
  const size_t info = name.find(":2,");
  return info != name.npos && name.find('T', info) != name.npos;
}

absl::Status CountPart(int folder, const char* part, Usage& usage) {
  const auto directory = OpenBelow(folder, part);
  if (absl::IsNotFound(directory.status())) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(directory.status());
  return ForEachMailName(directory->get(), [&](const dirent& entry) {
    const auto octets = CountedOctets(directory->get(), entry.d_name);
    if (!octets) return;
    usage.octets += *octets;
    ++usage.messages;
  });
}

absl::Status CountFolder(int folder, Usage& usage) {
  PROV_RETURN_IF_ERROR(CountPart(folder, "new", usage));
  return CountPart(folder, "cur", usage);
}

absl::StatusOr<std::vector<std::string>> FoldersOf(int mailbox) {
  const int own = openat(mailbox, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return ErrnoStatus(errno, "open mailbox to count it");
  const std::unique_ptr<DIR, DirCloser> stream(fdopendir(own));
  if (stream == nullptr) {
    close(own);
    return absl::ResourceExhaustedError("no memory to read a directory");
  }
  std::vector<std::string> folders;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) return ErrnoStatus(errno, "read mailbox");
      return folders;
    }
    const std::string_view name = entry->d_name;
    if (name.size() > 1 && name.front() == '.' && name != ".." && name != ".Trash")
      folders.emplace_back(name);
  }
}

std::string LimitText(const QuotaLimit& limit) {
  std::string text;
  if (limit.octets != 0) text = fmt::format("{}S", limit.octets);
  if (limit.messages != 0) text += fmt::format("{}{}C", text.empty() ? "" : ",", limit.messages);
  return text;
}

// By rename, so that each reader sees the old one or the new one.
absl::Status Replace(int mailbox, std::string_view text) {
  const std::string temporary = fmt::format("tmp/{}.{}", kFile, RandomHex(8));
  FileDescriptor file(
      openat(mailbox, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode));
  if (!file.valid()) return ErrnoStatus(errno, "create " + temporary);
  struct stat owner, own;
  absl::Status status = WriteAll(file.get(), text);
  if (status.ok() && (fstat(mailbox, &owner) != 0 || fstat(file.get(), &own) != 0))
    status = ErrnoStatus(errno, "stat " + temporary);
  // The mailbox's owner is to write to it as well.
  if (status.ok() && owner.st_uid != own.st_uid && fchown(file.get(), owner.st_uid, owner.st_gid) != 0)
    status = ErrnoStatus(errno, "chown " + temporary);
  if (status.ok()) status = file.Close();
  if (status.ok() && renameat(mailbox, temporary.c_str(), mailbox, kFile) != 0)
    status = ErrnoStatus(errno, fmt::format("rename {}", temporary));
  if (!status.ok()) unlinkat(mailbox, temporary.c_str(), 0);
  return status;
}

// The limit that the mailbox says; none where there is no file, or none that can be read.
absl::StatusOr<QuotaLimit> LimitOf(int mailbox) {
  const auto size = ReadMaildirSize(mailbox);
  if (absl::IsNotFound(size.status()) || absl::IsInvalidArgument(size.status())) return QuotaLimit();
  PROV_RETURN_IF_ERROR(size.status());
  return size->limit;
}

}  // namespace

absl::StatusOr<MaildirSize> ParseMaildirSize(std::string_view text) {
  // A last line without its end was cut off.
  if (text.empty() || text.size() > kMaxMaildirSizeOctets || text.back() != '\n') return NoSuchFile();
  MaildirSize size;
  bool first = true;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (std::exchange(first, false)) {
      PROV_ASSIGN_OR_RETURN(size.limit, ParseLimit(line));
      continue;
    }
    const auto octets = TakeNumber(line);
    const auto messages = octets ? TakeNumber(line) : std::nullopt;
    if (!messages) return NoSuchFile();
    size.usage.octets += *octets;
    size.usage.messages += *messages;
    ++size.lines;
    if (std::max(std::abs(size.usage.octets), std::abs(size.usage.messages)) > kMostCounted)
      return NoSuchFile();
  }
  if (size.usage.octets < 0 || size.usage.messages < 0) return NoSuchFile();
  return size;
}

std::string FormatMaildirSize(const MaildirSize& size) {
  return fmt::format("{}\n{} {}\n", LimitText(size.limit), size.usage.octets, size.usage.messages);
}

std::optional<int64_t> CountedOctets(int directory, const char* name) {
  if (IsTrashed(name)) return std::nullopt;
  const auto told = SizeOf(name);
  struct stat info;
  if (told || fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return told;
  return info.st_size;
}

absl::StatusOr<Usage> CountUsage(int mailbox) {
  Usage usage;
  PROV_RETURN_IF_ERROR(CountFolder(mailbox, usage));
  PROV_ASSIGN_OR_RETURN(const auto folders, FoldersOf(mailbox));
  for (const std::string& name : folders) {
    const auto folder = OpenBelow(mailbox, name);
    if (!folder.ok()) continue;  // no folder, or gone
    PROV_RETURN_IF_ERROR(CountFolder(folder->get(), usage));
  }
  return usage;
}

bool KeepsCount(int mailbox) { return faccessat(mailbox, kFile, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

absl::StatusOr<MaildirSize> ReadMaildirSize(int mailbox) {
  const FileDescriptor file(openat(mailbox, kFile, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return errno == ELOOP ? NoSuchFile() : ErrnoStatus(errno, "open maildirsize");
  std::string text(kMaxMaildirSizeOctets + 1, '\0');
  size_t got = 0;
  while (got < text.size()) {
    const ssize_t octets = read(file.get(), text.data() + got, text.size() - got);
    if (octets < 0 && errno == EINTR) continue;
    if (octets < 0) return ErrnoStatus(errno, "read maildirsize");
    if (octets == 0) break;
    got += static_cast<size_t>(octets);
  }
  return ParseMaildirSize(std::string_view(text).substr(0, got));
}

absl::Status KeepQuota(std::string_view root, std::string_view mailbox_id, int64_t octets) {
  PROV_ASSIGN_OR_RETURN(const FileDescriptor mailbox, OpenMailbox(root, mailbox_id));
  if (octets == 0) {
    if (unlinkat(mailbox.get(), kFile, 0) == 0 || errno == ENOENT) return absl::OkStatus();
    return ErrnoStatus(errno, "unlink maildirsize");
  }
  PROV_ASSIGN_OR_RETURN(const QuotaLimit limit, LimitOf(mailbox.get()));
  if (limit == QuotaLimit{.octets = octets}) return absl::OkStatus();
  PROV_ASSIGN_OR_RETURN(const QuotaLock lock, QuotaLock::Own(mailbox.get()));
  return RecountUsage(mailbox.get(), octets).status();
}

absl::StatusOr<Usage> RecountUsage(int mailbox, int64_t octets) {
  MaildirSize size{.limit = {.octets = octets}, .usage = {}};
  PROV_ASSIGN_OR_RETURN(size.usage, CountUsage(mailbox));
  PROV_RETURN_IF_ERROR(Replace(mailbox, FormatMaildirSize(size)));
  return size.usage;
}

absl::Status RecountKept(int mailbox) {
  PROV_ASSIGN_OR_RETURN(const QuotaLimit limit, LimitOf(mailbox));
  return limit.octets == 0 ? absl::OkStatus() : RecountUsage(mailbox, limit.octets).status();
}

absl::StatusOr<std::string> InspectQuota(std::string_view root, std::string_view mailbox_id, int64_t octets) {
  PROV_ASSIGN_OR_RETURN(const FileDescriptor mailbox, OpenMailbox(root, mailbox_id));
  const QuotaLimit wanted{.octets = octets};
  PROV_ASSIGN_OR_RETURN(const QuotaLimit limit, LimitOf(mailbox.get()));
  if (limit == wanted) return "";
  const auto text = [](const QuotaLimit& one) {
    return one == QuotaLimit() ? "no quota" : "quota " + LimitText(one);
  };
  return fmt::format("maildirsize says {}, not {}", text(limit), text(wanted));
}

}  // namespace prov::maildir
