#include "agents/state/confirmation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "agents/state/tables.h"
#include "common/status.h"

namespace prov::state {
namespace {

// Head, milliseconds since 1970, and a check over both.
using Slot = std::array<uint64_t, 3>;
constexpr int kReadAttempts = 8;  // a write takes a moment

uint64_t CheckOf(uint64_t head, uint64_t millis) {
  return (head ^ (millis << 32 | millis >> 32)) * 0x9e3779b97f4a7c15ull + 1;
}

off_t OffsetOf(v1::Role role) { return static_cast<off_t>(role) * static_cast<off_t>(sizeof(Slot)); }

}  // namespace

absl::StatusOr<ConfirmationFile> ConfirmationFile::Open(const std::string& directory, bool writable) {
  const std::string path = directory + "/confirmed";
  const int flags = writable ? O_RDWR | O_CREAT : O_RDONLY;
  FileDescriptor file(open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, kDataMode));
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("open {}", path));
  return ConfirmationFile(std::move(file));
}

absl::Status ConfirmationFile::Write(v1::Role role, const Confirmation& confirmation) {
  const auto millis = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(confirmation.confirmed.time_since_epoch())
          .count());
  const Slot slot = {confirmation.head_revision, millis, CheckOf(confirmation.head_revision, millis)};
  const ssize_t wrote = pwrite(file_.get(), slot.data(), sizeof slot, OffsetOf(role));
  if (wrote < 0) return ErrnoStatus(errno, "write confirmation");
  if (static_cast<size_t>(wrote) != sizeof slot) return ErrnoStatus(ENOSPC, "write confirmation");
  return absl::OkStatus();
}

absl::StatusOr<Confirmation> ConfirmationFile::Read(v1::Role role) const {
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    Slot slot = {};
    const ssize_t got = pread(file_.get(), slot.data(), sizeof slot, OffsetOf(role));
    if (got < 0) return ErrnoStatus(errno, "read confirmation");
    if (static_cast<size_t>(got) != sizeof slot) return Confirmation{};
    const auto& [head, millis, check] = slot;
    if (check != CheckOf(head, millis)) continue;
    return Confirmation{head, std::chrono::system_clock::time_point(std::chrono::milliseconds(millis))};
  }
  return Confirmation{};
}

}  // namespace prov::state
