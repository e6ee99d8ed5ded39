#include "agents/mail/maildir/message_text.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "agents/mail/maildir/wire_text.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr size_t kReadOctets = 64 * 1024;

absl::StatusOr<FileDescriptor> OpenFile(int directory, const std::string& name) {
  // O_NONBLOCK: somebody's FIFO must not hold us up.
  FileDescriptor file(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("open message {}", name));
  struct stat info;
  if (fstat(file.get(), &info) != 0) return ErrnoStatus(errno, fmt::format("stat message {}", name));
  if (!S_ISREG(info.st_mode)) return absl::NotFoundError(fmt::format("{} is no file", name));
  return file;
}

class FileReader : public MessageReader {
 public:
  explicit FileReader(FileDescriptor file) : file_(std::move(file)), buffer_(kReadOctets, '\0') {}

  absl::StatusOr<std::string> Read() override {
    std::string wire;
    while (wire.empty() && !ended_) {
      const ssize_t got = read(file_.get(), buffer_.data(), buffer_.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoStatus(errno, "read message");
      ended_ = got == 0;
      text_.Convert(std::string_view(buffer_).substr(0, static_cast<size_t>(got)), wire);
      if (ended_) text_.Finish(wire);
    }
    return wire;
  }

 private:
  FileDescriptor file_;
  std::string buffer_;
  WireText text_;
  bool ended_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MessageReader>> OpenText(int directory, const std::string& name) {
  PROV_ASSIGN_OR_RETURN(FileDescriptor file, OpenFile(directory, name));
  return std::make_unique<FileReader>(std::move(file));
}

absl::StatusOr<uint64_t> CountWireOctets(int directory, const std::string& name) {
  PROV_ASSIGN_OR_RETURN(const auto reader, OpenText(directory, name));
  for (uint64_t octets = 0;;) {
    PROV_ASSIGN_OR_RETURN(const std::string piece, reader->Read());
    if (piece.empty()) return octets;
    octets += piece.size();
  }
}

}  // namespace prov::maildir
