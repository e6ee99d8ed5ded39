#include "agents/mail/queue/spare_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include "common/status.h"

namespace prov::queue {
namespace {

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

}  // namespace

struct SpareFiles::Table {
  std::mutex mutex;
  std::map<std::string, int> open;
  std::set<std::string> finishing;
};

class OpenFile::Use {
 public:
  // Null: the message is finished at this moment.
  static std::unique_ptr<Use> Begin(std::shared_ptr<SpareFiles::Table> table, std::string id) {
    const std::lock_guard lock(table->mutex);
    if (table->finishing.contains(id)) return nullptr;
    ++table->open[id];
    return std::unique_ptr<Use>(new Use(table, std::move(id)));
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() {
    const std::lock_guard lock(table_->mutex);
    const auto found = table_->open.find(id_);
    if (--found->second == 0) table_->open.erase(found);
  }

 private:
  Use(std::shared_ptr<SpareFiles::Table> table, std::string id)
      : table_(std::move(table)), id_(std::move(id)) {}
  const std::shared_ptr<SpareFiles::Table> table_;
  const std::string id_;
};

OpenFile::OpenFile(std::string path, std::unique_ptr<Use> use, FileDescriptor descriptor)
    : path_(std::move(path)), use_(std::move(use)), descriptor_(std::move(descriptor)) {}
OpenFile::OpenFile(OpenFile&&) noexcept = default;
OpenFile::~OpenFile() = default;

absl::Status OpenFile::Close() {
  const absl::Status closed = descriptor_.Close();
  use_.reset();
  return closed;
}

SpareFiles::SpareFiles(std::string directory)
    : directory_(std::move(directory)), table_(std::make_shared<Table>()) {}

SpareFiles::~SpareFiles() = default;

absl::StatusOr<OpenFile> SpareFiles::Open(const std::string& id, const std::string& path, int flags) {
  auto use = OpenFile::Use::Begin(table_, id);
  if (!use) return ErrnoStatus(ENOENT, path);
  FileDescriptor descriptor(open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
  if (!descriptor.valid()) return ErrnoStatus(errno, path);
  return OpenFile(path, std::move(use), std::move(descriptor));
}

bool SpareFiles::TakeAs(const std::string& path) {
  std::string spare;
  {
    const std::lock_guard lock(mutex_);
    if (spare_.empty()) return false;
    spare = std::move(spare_.back());
    spare_.pop_back();
  }
  return rename(spare.c_str(), path.c_str()) == 0;
}

absl::Status SpareFiles::Finish(const std::string& id, const std::string& path) {
  bool in_use = false;
  {
    const std::lock_guard lock(table_->mutex);
    in_use = table_->open.contains(id);
    if (!in_use) table_->finishing.insert(id);
  }
  // Who has it open goes on with a file that has no name.
  if (in_use) return RemoveFile(path);
  const absl::Status kept = Keep(path);
  const std::lock_guard lock(table_->mutex);
  table_->finishing.erase(id);
  return kept;
}

absl::Status SpareFiles::Keep(const std::string& path) {
  std::string spare;
  {
    const std::lock_guard lock(mutex_);
    if (spare_.size() >= kMostSpareFiles) return RemoveFile(path);
    spare = fmt::format("{}/{}", directory_, number_++);
  }
  // The name first: a power cut may leave a finished message whole, or an empty file, never a part of one.
  if (rename(path.c_str(), spare.c_str()) != 0)
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, path);
  // Somebody's hard link (a backup, or to look at it later) is his.
  struct stat about;
  const bool ours_alone = lstat(spare.c_str(), &about) == 0 && S_ISREG(about.st_mode) && about.st_nlink == 1;
  if (!ours_alone || truncate(spare.c_str(), 0) != 0) return RemoveFile(spare);
  const std::lock_guard lock(mutex_);
  spare_.push_back(std::move(spare));
  return absl::OkStatus();
}

}  // namespace prov::queue
