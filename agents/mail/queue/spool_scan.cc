// The queue on disk, read in pieces.
#include <dirent.h>

#include <cerrno>
#include <utility>

#include "agents/mail/queue/spool.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::queue {

struct SpoolScan::Directory {
  explicit Directory(DIR* stream) : stream(stream) {}
  Directory(const Directory&) = delete;
  ~Directory() { closedir(stream); }
  DIR* const stream;
};

absl::StatusOr<std::unique_ptr<SpoolScan>> Spool::BeginScan() {
  const std::string path = directory_ + "/active";
  {
    const std::lock_guard lock(mutex_);
    if (scanning_) return absl::FailedPreconditionError(path + " is being read already");
    scanning_ = true;
  }
  DIR* const stream = opendir(path.c_str());
  if (stream == nullptr) {
    const int error = errno;
    EndScan();
    return ErrnoStatus(error, path);
  }
  return std::unique_ptr<SpoolScan>(new SpoolScan(*this, std::make_unique<SpoolScan::Directory>(stream)));
}

void Spool::NoteCommitted(const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (scanning_) committed_.insert(id);
}

bool Spool::IsCommittedSince(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return committed_.contains(id);
}

void Spool::EndScan() {
  const std::lock_guard lock(mutex_);
  scanning_ = false;
  committed_ = {};
}

SpoolScan::SpoolScan(Spool& spool, std::unique_ptr<Directory> directory)
    : spool_(spool), directory_(std::move(directory)) {}

SpoolScan::~SpoolScan() {
  if (directory_) spool_.EndScan();
}

// What this process has committed is its runner's already, or was, and is finished: to take it in again would
// be to deliver it twice.
absl::Status SpoolScan::Read(const std::string& name, std::vector<StoredMessage>& messages) {
  if (!IsMessageId(name) || spool_.IsCommittedSince(name)) return absl::OkStatus();
  auto message = spool_.Load(name);
  if (message.ok()) {
    messages.push_back(*std::move(message));
    return absl::OkStatus();
  }
  if (!absl::IsDataLoss(message.status())) {
    Log(Level::kError, "queue_file_unreadable", {{"id", name}, {"error", message.status()}});
    return absl::OkStatus();
  }
  // A power cut may leave it of a finished message, and no message is empty.
  if (spool_.IsEmpty(name)) return spool_.Remove(name);
  Log(Level::kError, "queue_file_torn", {{"id", name}, {"error", message.status()}});
  return spool_.BuryTorn(name);
}

absl::StatusOr<std::optional<std::vector<StoredMessage>>> SpoolScan::Next(size_t most) {
  if (!directory_) return std::nullopt;
  std::vector<StoredMessage> messages;
  for (size_t i = 0; i < most; ++i) {
    errno = 0;
    const dirent* entry = readdir(directory_->stream);
    if (entry == nullptr) {
      if (errno != 0) return ErrnoStatus(errno, "read the queue's directory");
      directory_.reset();
      spool_.EndScan();
      break;
    }
    PROV_RETURN_IF_ERROR(Read(entry->d_name, messages));
  }
  return messages;
}

}  // namespace prov::queue
