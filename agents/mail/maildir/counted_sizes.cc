#include "agents/mail/maildir/counted_sizes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <iterator>

#include "common/file.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr char kFreshFile[] = "prov-sizes.new";
constexpr mode_t kMode = 0600;

// Empty when there is none that may be read.
std::string ReadSizes(int mailbox) {
  const FileDescriptor file(openat(mailbox, kSizesFile, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info;
  if (!file.valid() || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return "";
  if (info.st_size < 0 || static_cast<size_t>(info.st_size) > kMaxSizesOctets) return "";
  std::string text(static_cast<size_t>(info.st_size), '\0');
  for (size_t have = 0; have < text.size();) {
    const ssize_t got = read(file.get(), text.data() + have, text.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return "";
    have += static_cast<size_t>(got);
  }
  return text;
}

std::optional<uint64_t> TakeNumber(std::string_view& line) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (error != std::errc() || end == line.data() + line.size() || *end != ' ') return std::nullopt;
  line.remove_prefix(static_cast<size_t>(end - line.data()) + 1);
  return value;
}

}  // namespace

CountedSizes::CountedSizes(int mailbox) : text_(ReadSizes(mailbox)) {
  std::string_view rest = text_;
  // A last line without its end was cut short.
  for (size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
    std::string_view line = rest.substr(0, end);
    const auto octets = TakeNumber(line);
    const auto stored = octets ? TakeNumber(line) : std::nullopt;
    if (stored && !line.empty()) known_.insert_or_assign(line, Size{*octets, *stored});
  }
}

std::optional<uint64_t> CountedSizes::Find(std::string_view base, uint64_t stored) {
  const auto found = known_.find(base);
  if (found == known_.end() || found->second.stored != stored) return std::nullopt;
  Append(base, found->second);
  return found->second.octets;
}

void CountedSizes::Note(std::string_view base, uint64_t stored, uint64_t octets) {
  // A name with a line end in it is counted each time.
  if (base.find('\n') != base.npos) return;
  Append(base, {octets, stored});
  ++noted_;
}

void CountedSizes::Append(std::string_view base, const Size& size) {
  fmt::format_to(std::back_inserter(next_), "{} {} {}\n", size.octets, size.stored, base);
  ++kept_;
}

absl::Status CountedSizes::Keep(int mailbox) {
  if (noted_ == 0 && kept_ == known_.size()) return absl::OkStatus();
  const FileDescriptor file(
      openat(mailbox, kFreshFile, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, kMode));
  if (!file.valid()) return ErrnoStatus(errno, "open sizes");
  PROV_RETURN_IF_ERROR(Annotate(WriteAll(file.get(), next_), "write sizes"));
  // Not made durable: what a power cut takes is counted again, and a part of it has no line end.
  if (renameat(mailbox, kFreshFile, mailbox, kSizesFile) != 0) return ErrnoStatus(errno, "rename sizes");
  return absl::OkStatus();
}

}  // namespace prov::maildir
