#include "agents/drivers/quota_note.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/file.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

constexpr mode_t kMode = 0644;
constexpr size_t kMostOctets = 1024;
// Always the same name: what a writer that was killed left behind goes with the next write.
constexpr const char* kTemporary = ".quota.new";

absl::Status Remove(int home, const char* name) {
  if (unlinkat(home, name, 0) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, fmt::format("remove {}", name));
}

}  // namespace

std::string FormatQuotaNote(std::string_view plan, int64_t octets) {
  return fmt::format("plan {}\noctets {}\n", plan, octets);
}

absl::StatusOr<std::string> ReadQuotaNote(int home) {
  FileDescriptor file(openat(home, kQuotaNote, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return std::string();
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("open {}", kQuotaNote));
  std::string note(kMostOctets, '\0');
  const ssize_t octets = read(file.get(), note.data(), note.size());
  if (octets < 0) return ErrnoStatus(errno, fmt::format("read {}", kQuotaNote));
  note.resize(static_cast<size_t>(octets));
  return note;
}

absl::Status PutQuotaNote(int home, const std::string& note) {
  PROV_ASSIGN_OR_RETURN(const std::string found, ReadQuotaNote(home));
  if (found == note && !note.empty()) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(Remove(home, kTemporary));
  if (note.empty()) return Remove(home, kQuotaNote);
  FileDescriptor file(openat(home, kTemporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kMode));
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("create {}", kTemporary));
  PROV_RETURN_IF_ERROR(Annotate(WriteAll(file.get(), note), kQuotaNote));
  // The umask must not narrow it.
  if (fchmod(file.get(), kMode) != 0) return ErrnoStatus(errno, fmt::format("chmod {}", kQuotaNote));
  if (fsync(file.get()) != 0) return ErrnoStatus(errno, fmt::format("fsync {}", kQuotaNote));
  PROV_RETURN_IF_ERROR(Annotate(file.Close(), kQuotaNote));
  if (renameat(home, kTemporary, home, kQuotaNote) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, fmt::format("rename to {}", kQuotaNote));
}

}  // namespace prov::drivers
