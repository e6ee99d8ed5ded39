#include "agents/mail/maildir/uidl_import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/file_name.h"
#include "agents/mail/maildir/mailbox_lock.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

// A header that is longer tells no id.
constexpr size_t kMaxHeaderOctets = 256 * 1024;

using UidlOfFile = std::function<absl::StatusOr<std::string>(int directory, const std::string& name)>;

absl::StatusOr<std::vector<std::string>> FilesIn(int directory) {
  std::vector<std::string> names;
  PROV_RETURN_IF_ERROR(ForEachMailName(directory, [&](const dirent& entry) {
    if (IsRegularFile(directory, entry)) names.emplace_back(entry.d_name);
  }));
  std::sort(names.begin(), names.end());
  return names;
}

class Importer {
 public:
  explicit Importer(const UidlOfFile& uidl_of) : uidl_of_(uidl_of) {}

  absl::Status Part(int directory) {
    PROV_ASSIGN_OR_RETURN(const auto names, FilesIn(directory));
    for (const std::string& name : names) {
      if (const auto has = ImportedUidlOf(name)) taken_.insert(*has);
    }
    for (const std::string& name : names) PROV_RETURN_IF_ERROR(One(directory, name));
    return SyncOpenDirectory(directory, "mail directory");
  }

  const UidlImport& result() const { return result_; }

 private:
  absl::Status One(int directory, const std::string& name) {
    if (ImportedUidlOf(name)) return Count(result_.before);
    PROV_ASSIGN_OR_RETURN(const std::string uidl, uidl_of_(directory, name));
    if (uidl == UidlOfName(name)) return Count(result_.before);
    const std::optional<std::string> named = WithImportedUidl(name, uidl);
    if (!named) return Count(result_.without);
    if (!taken_.insert(uidl).second) return Count(result_.twice);
    // No message has such a name yet: it would have told the id.
    if (renameat(directory, name.c_str(), directory, named->c_str()) != 0)
      return ErrnoStatus(errno, fmt::format("rename {}", name));
    return Count(result_.named);
  }

  static absl::Status Count(size_t& what) {
    ++what;
    return absl::OkStatus();
  }

  const UidlOfFile& uidl_of_;
  std::set<std::string> taken_;
  UidlImport result_;
};

// Root would leave a lock file that the engine cannot open.
absl::Status CheckOwner(int mailbox) {
  struct stat info;
  if (fstat(mailbox, &info) != 0) return ErrnoStatus(errno, "stat mailbox");
  if (info.st_uid == geteuid()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("the mailbox belongs to uid {}; run this as that user", info.st_uid));
}

absl::StatusOr<UidlImport> Import(std::string_view root, std::string_view mailbox_id,
                                  const UidlOfFile& uidl_of) {
  PROV_ASSIGN_OR_RETURN(const FileDescriptor mailbox, OpenMailbox(root, mailbox_id));
  PROV_RETURN_IF_ERROR(CheckOwner(mailbox.get()));
  PROV_ASSIGN_OR_RETURN(const MailboxLock lock, MailboxLock::Take(mailbox.get()));
  Importer importer(uidl_of);
  for (const char* part : {"cur", "new"}) {
    PROV_ASSIGN_OR_RETURN(const FileDescriptor directory, OpenBelow(mailbox.get(), part));
    PROV_RETURN_IF_ERROR(importer.Part(directory.get()));
  }
  return importer.result();
}

// The file's header, to the first empty line, or what of it there is within the limit.
absl::StatusOr<std::string> ReadHeader(int directory, const std::string& name) {
  const FileDescriptor file(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("open {}", name));
  std::string header;
  char octets[8192];
  while (header.size() < kMaxHeaderOctets && header.find("\n\n") == header.npos &&
         header.find("\n\r\n") == header.npos) {
    const ssize_t got = read(file.get(), octets, sizeof octets);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, fmt::format("read {}", name));
    if (got == 0) break;
    header.append(octets, static_cast<size_t>(got));
  }
  return header;
}

// Empty: there is none. The first one counts: it is what the server put on top.
absl::StatusOr<std::string> XUidlOf(int directory, const std::string& name) {
  constexpr std::string_view kField = "X-UIDL:";
  PROV_ASSIGN_OR_RETURN(const std::string header, ReadHeader(directory, name));
  std::string_view rest = header;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) break;
    if (!absl::StartsWithIgnoreCase(absl::string_view(line.data(), line.size()),
                                    absl::string_view(kField.data(), kField.size()))) {
      continue;
    }
    line.remove_prefix(kField.size());
    const size_t first = line.find_first_not_of(" \t"), last = line.find_last_not_of(" \t");
    return std::string(first == line.npos ? "" : line.substr(first, last - first + 1));
  }
  return std::string();
}

}  // namespace

absl::StatusOr<UidlImport> ImportUidls(std::string_view root, std::string_view mailbox_id,
                                       const std::map<std::string, std::string>& by_base) {
  return Import(root, mailbox_id, [&](int, const std::string& name) -> absl::StatusOr<std::string> {
    const auto found = by_base.find(std::string(BaseOf(name)));
    return found == by_base.end() ? std::string() : found->second;
  });
}

absl::StatusOr<UidlImport> ImportXUidls(std::string_view root, std::string_view mailbox_id) {
  return Import(root, mailbox_id, XUidlOf);
}

}  // namespace prov::maildir
