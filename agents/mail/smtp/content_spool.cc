#include "agents/mail/smtp/content_spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "common/status.h"

namespace prov::smtp {
namespace {

constexpr size_t kReadOctets = 64 * 1024;

std::atomic<size_t> octets_of_all{0};

}  // namespace

ContentSpool::~ContentSpool() { octets_of_all -= memory_.size(); }

bool ContentSpool::WantsDisk(size_t octets) const {
  return memory_.size() + octets > kMostOctetsInMemory || octets_of_all + octets > kMostOctetsInMemoryOfAll;
}

absl::Status ContentSpool::Spill() {
  if (!file_.valid()) {
    file_ = FileDescriptor(open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!file_.valid()) return ErrnoStatus(errno, directory_);
  }
  PROV_RETURN_IF_ERROR(WriteAll(file_.get(), memory_));
  file_octets_ += memory_.size();
  octets_of_all -= memory_.size();
  memory_ = std::string();  // the memory itself, too
  return absl::OkStatus();
}

absl::Status ContentSpool::Append(std::string_view content) {
  const bool spills = WantsDisk(content.size());
  memory_ += content;
  octets_of_all += content.size();
  return spills ? Spill() : absl::OkStatus();
}

absl::Status ContentSpool::ForEach(const std::function<absl::Status(std::string_view)>& visit) const {
  std::string piece(static_cast<size_t>(std::min<uint64_t>(file_octets_, kReadOctets)), '\0');
  for (uint64_t at = 0; at < file_octets_;) {
    const ssize_t got = pread(file_.get(), piece.data(), piece.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return ErrnoStatus(got < 0 ? errno : EIO, directory_);
    PROV_RETURN_IF_ERROR(visit(std::string_view(piece.data(), static_cast<size_t>(got))));
    at += static_cast<uint64_t>(got);
  }
  return memory_.empty() ? absl::OkStatus() : visit(memory_);
}

}  // namespace prov::smtp
