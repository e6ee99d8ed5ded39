#include "agents/mail/queue/spool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

#include "agents/mail/queue/spool_writer.h"
#include "common/log.h"
#include "common/random.h"
#include "common/status.h"

namespace prov::queue {
namespace {

constexpr mode_t kDirectoryMode = 0700;
constexpr size_t kReadOctets = 64 * 1024;
constexpr size_t kUsualEnvelopeOctets = 4096;  // a million files are read quicker in small pieces
constexpr size_t kMaxTailOctets = 64 << 20;    // end mark and journal
// An engine that was told to stop may still be finishing when the next one starts.
constexpr std::chrono::seconds kLockPatience{15};
constexpr std::chrono::milliseconds kLockPause{50};
constexpr size_t kRandomOctetsOfId = 5;

absl::StatusOr<FileDescriptor> Lock(const std::string& path) {
  FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return ErrnoStatus(errno, path);
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  while (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoStatus(errno, path);
    if (std::chrono::steady_clock::now() >= deadline) {
      return absl::UnavailableError(fmt::format("{} is held by another engine", path));
    }
    std::this_thread::sleep_for(kLockPause);
  }
  return file;
}

// Up to `most` octets from `offset`; fewer at the end of the file.
absl::StatusOr<std::string> ReadAt(int file, uint64_t offset, size_t most, const std::string& path) {
  std::string data(most, '\0');
  size_t filled = 0;
  while (filled < most) {
    const ssize_t got = pread(file, data.data() + filled, most - filled, static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, path);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  data.resize(filled);
  return data;
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) return ErrnoStatus(error.value(), directory);
  return names;
}

absl::Status Empty(const std::string& directory) {
  PROV_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(directory));
  for (const std::string& name : names) PROV_RETURN_IF_ERROR(RemoveFile(directory + "/" + name));
  return absl::OkStatus();
}

class FileContentReader final : public ContentReader {
 public:
  FileContentReader(OpenFile file, uint64_t offset, uint64_t octets)
      : file_(std::move(file)), offset_(offset), left_(octets) {}

  absl::StatusOr<std::string> Read() override {
    const size_t most = static_cast<size_t>(std::min<uint64_t>(left_, kReadOctets));
    if (most == 0) return std::string();
    PROV_ASSIGN_OR_RETURN(std::string data, ReadAt(file_.get(), offset_, most, file_.path()));
    if (data.empty()) return absl::DataLossError(fmt::format("{} is shorter than it says", file_.path()));
    offset_ += data.size();
    left_ -= data.size();
    return data;
  }

 private:
  const OpenFile file_;
  uint64_t offset_, left_;
};

}  // namespace

Spool::Spool(std::string directory, FileDescriptor lock)
    : directory_(std::move(directory)),
      lock_(std::move(lock)),
      active_sync_(directory_ + "/active"),
      spares_(directory_ + "/spare") {}

absl::StatusOr<std::unique_ptr<Spool>> Spool::Open(const std::string& directory) {
  PROV_RETURN_IF_ERROR(EnsureDirectory(directory, kDirectoryMode));
  for (const char* part : {"/incoming", "/active", "/spare", "/dead"}) {
    PROV_RETURN_IF_ERROR(EnsureDirectory(directory + part, kDirectoryMode));
  }
  PROV_ASSIGN_OR_RETURN(FileDescriptor lock, Lock(directory + "/lock"));
  std::unique_ptr<Spool> spool(new Spool(directory, std::move(lock)));
  for (const char* part : {"/incoming", "/spare"}) PROV_RETURN_IF_ERROR(Empty(directory + part));
  return spool;
}

std::string Spool::NewId(Time now) {
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  return fmt::format("{:012x}{}", milliseconds, RandomHex(kRandomOctetsOfId));
}

absl::Status Spool::CheckRoom(uint64_t octets) const {
  struct statvfs room;
  if (statvfs(directory_.c_str(), &room) != 0) return ErrnoStatus(errno, directory_);
  const uint64_t free_octets = uint64_t{room.f_bavail} * room.f_frsize;
  if (free_octets < kReservedOctets || free_octets - kReservedOctets < octets) {
    return absl::ResourceExhaustedError(fmt::format("{} has {} octets left", directory_, free_octets));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<MessageWriter>> Spool::Begin(Envelope envelope) {
  return SpoolWriter::Begin(*this, std::move(envelope));
}

absl::StatusOr<OpenFile> Spool::OpenActive(const std::string& id, int flags) const {
  return spares_.Open(id, Active(id), flags);
}

absl::StatusOr<StoredMessage> Spool::Load(const std::string& id) const {
  PROV_ASSIGN_OR_RETURN(const OpenFile file, OpenActive(id, O_RDONLY));
  const std::string& path = file.path();
  PROV_ASSIGN_OR_RETURN(std::string head, ReadAt(file.get(), 0, kUsualEnvelopeOctets, path));
  if (head.size() == kUsualEnvelopeOctets && head.find("\n\n") == head.npos) {
    PROV_ASSIGN_OR_RETURN(head, ReadAt(file.get(), 0, kMaxEnvelopeOctets, path));
  }
  PROV_ASSIGN_OR_RETURN(StoredMessage message, ParseEnvelope(head));
  if (message.envelope.id != id)
    return absl::DataLossError(fmt::format("{} is named otherwise inside", path));
  struct stat about;
  if (fstat(file.get(), &about) != 0) return ErrnoStatus(errno, path);
  const uint64_t size = static_cast<uint64_t>(about.st_size);
  const uint64_t before = message.content_offset + message.content_octets;
  if (message.content_octets > size || before > size) return absl::DataLossError("the message is not whole");
  const size_t tail_octets = static_cast<size_t>(std::min<uint64_t>(size - before, kMaxTailOctets));
  PROV_ASSIGN_OR_RETURN(const std::string tail, ReadAt(file.get(), before, tail_octets, path));
  PROV_RETURN_IF_ERROR(ApplyTail(tail, message));
  // The next entry must not be glued to half a line.
  if (message.good_octets < size && truncate(path.c_str(), static_cast<off_t>(message.good_octets)) != 0) {
    return ErrnoStatus(errno, path);
  }
  return message;
}

bool Spool::IsEmpty(const std::string& id) const {
  struct stat about;
  return lstat(Active(id).c_str(), &about) == 0 && S_ISREG(about.st_mode) && about.st_size == 0;
}

bool Spool::Has(const std::string& id) const { return access(Active(id).c_str(), F_OK) == 0; }

absl::Status Spool::AppendLine(const std::string& id, std::string_view line, bool durable) {
  PROV_ASSIGN_OR_RETURN(OpenFile file, OpenActive(id, O_WRONLY | O_APPEND));
  const std::string& path = file.path();
  struct stat about;
  if (fstat(file.get(), &about) != 0) return ErrnoStatus(errno, path);
  if (const absl::Status status = WriteAll(file.get(), line); !status.ok()) {
    // Half a line would hide what is written behind it.
    if (ftruncate(file.get(), about.st_size) != 0) return ErrnoStatus(errno, path);
    return Annotate(status, path);
  }
  if (durable && fdatasync(file.get()) != 0) return ErrnoStatus(errno, path);
  return file.Close();
}

absl::Status Spool::Record(const std::string& id, const JournalEntry& entry, bool durable) {
  return AppendLine(id, FormatEntry(entry), durable);
}

absl::Status Spool::RecordHold(const std::string& id, Time time, bool held) {
  return AppendLine(id, FormatHold(time, held), /*durable=*/true);
}

absl::Status Spool::Remove(const std::string& id) { return spares_.Finish(id, Active(id)); }

absl::Status Spool::SyncRemovals() { return active_sync_.Sync(); }

absl::Status Spool::Withdraw(const std::string& id) {
  PROV_RETURN_IF_ERROR(RemoveFile(Active(id)));
  return active_sync_.Sync();
}

absl::Status Spool::Bury(const std::string& id) {
  const std::lock_guard lock(dead_mutex_);
  PROV_RETURN_IF_ERROR(MoveToDead(id, id));
  return ForgetOldDead(id);
}

absl::Status Spool::BuryTorn(const std::string& id) { return MoveToDead(id, id + ".torn"); }

absl::Status Spool::MoveToDead(const std::string& id, const std::string& name) {
  if (rename(Active(id).c_str(), Dead(name).c_str()) != 0) return ErrnoStatus(errno, Active(id));
  PROV_RETURN_IF_ERROR(SyncDirectory(directory_ + "/dead"));
  return active_sync_.Sync();
}

// Ids begin with the time, so the first is the oldest.
absl::Status Spool::ForgetOldDead(const std::string& newest) {
  if (!dead_) {
    PROV_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(directory_ + "/dead"));
    dead_.emplace();
    for (const std::string& name : names) {
      if (IsMessageId(name)) dead_->insert(name);
    }
  }
  dead_->insert(newest);
  while (dead_->size() > kMostDead) {
    PROV_RETURN_IF_ERROR(RemoveFile(Dead(*dead_->begin())));
    dead_->erase(dead_->begin());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ContentReader>> Spool::OpenContent(const StoredMessage& message) const {
  PROV_ASSIGN_OR_RETURN(OpenFile file, OpenActive(message.envelope.id, O_RDONLY));
  return std::make_unique<FileContentReader>(std::move(file), message.content_offset, message.content_octets);
}

}  // namespace prov::queue
