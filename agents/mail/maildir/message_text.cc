#include "agents/mail/maildir/message_text.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/wire_text.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr size_t kMostReadOctets = 64 * 1024;
// O_NONBLOCK: somebody's FIFO must not hold us up.
constexpr int kOpenFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

class FileReader : public MessageReader {
 public:
  FileReader(FileDescriptor file, off_t octets)
      : file_(std::move(file)),
        octets_(static_cast<size_t>(octets)),
        room_(std::clamp(octets_, size_t{1}, kMostReadOctets)),
        buffer_(std::make_unique_for_overwrite<char[]>(room_)) {}

  absl::StatusOr<std::string> Read() override {
    std::string wire;
    while (wire.empty() && !ended_) {
      const ssize_t got = read(file_.get(), buffer_.get(), room_);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoStatus(errno, "read message");
      Take(static_cast<size_t>(got), wire);
    }
    return wire;
  }

  std::optional<std::string> ReadFromMemory() override {
    std::string wire;
    while (wire.empty() && !ended_) {
      const iovec room{buffer_.get(), room_};
      const ssize_t got = preadv2(file_.get(), &room, 1, kWhereItIs, RWF_NOWAIT);
      // Linux 5.9 and 5.10 may say 0 before the end: readv(2).
      if (got < 0 || (got == 0 && read_ < octets_)) return std::nullopt;
      Take(static_cast<size_t>(got), wire);
    }
    return wire;
  }

 private:
  static constexpr off_t kWhereItIs = -1;  // the file's own offset

  void Take(size_t got, std::string& wire) {
    read_ += got;
    ended_ = got == 0 || read_ >= octets_;
    text_.Convert(std::string_view(buffer_.get(), got), wire);
    if (ended_) text_.Finish(wire);
  }

  FileDescriptor file_;
  const size_t octets_;  // in all; the file of a message does not grow
  size_t read_ = 0;
  const size_t room_;
  const std::unique_ptr<char[]> buffer_;
  WireText text_;
  bool ended_ = false;
};

absl::StatusOr<std::unique_ptr<MessageReader>> ReaderOf(FileDescriptor file, const std::string& name) {
  struct stat info;
  if (fstat(file.get(), &info) != 0) return ErrnoStatus(errno, fmt::format("stat message {}", name));
  if (!S_ISREG(info.st_mode)) return absl::NotFoundError(fmt::format("{} is no file", name));
  return std::make_unique<FileReader>(std::move(file), info.st_size);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MessageReader>> OpenText(int directory, const std::string& name) {
  FileDescriptor file(openat(directory, name.c_str(), kOpenFlags));
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("open message {}", name));
  return ReaderOf(std::move(file), name);
}

std::unique_ptr<MessageReader> OpenTextFromMemory(int directory, const std::string& name) {
  FileDescriptor file = OpenFromMemory(directory, name, kOpenFlags);
  if (!file.valid()) return nullptr;
  auto reader = ReaderOf(std::move(file), name);
  return reader.ok() ? *std::move(reader) : nullptr;
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
