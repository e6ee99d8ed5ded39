// Files of finished messages, emptied and used again for new ones: ext4 searches long for an inode where many
// were freed within the last minutes, and a busy queue frees a thousand a second.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"

namespace prov::queue {

constexpr size_t kMostSpareFiles = 256;

// A message's file that is open. For as long, it is not used again: what is still written to it, or read from
// it, must never be another message's. May move between threads, and outlive SpareFiles.
class OpenFile {
 public:
  OpenFile(OpenFile&&) noexcept;
  ~OpenFile();
  int get() const { return descriptor_.get(); }
  const std::string& path() const { return path_; }
  // Tells of a late write error; the file may be used again.
  absl::Status Close();

 private:
  friend class SpareFiles;
  class Use;
  OpenFile(std::string path, std::unique_ptr<Use> use, FileDescriptor descriptor);

  std::string path_;
  std::unique_ptr<Use> use_;  // goes after the descriptor
  FileDescriptor descriptor_;
};

// Thread-safe; blocks on the disk.
class SpareFiles {
 public:
  // `directory` exists, and nothing in it has a number for its name.
  explicit SpareFiles(std::string directory);
  ~SpareFiles();

  // The file `path` of message `id`, with open(2)'s `flags`. NOT_FOUND: there is none, or no longer.
  absl::StatusOr<OpenFile> Open(const std::string& id, const std::string& path, int flags);
  // Gives an empty file the name `path`, on the same file system. False: there is none to be had.
  bool TakeAs(const std::string& path);
  // Takes the file `path` of message `id` away, and keeps it if it can be used again. OK when there is none.
  absl::Status Finish(const std::string& id, const std::string& path);

 private:
  struct Table;  // of files that are open, or being finished
  friend class OpenFile;
  absl::Status Keep(const std::string& path);

  const std::string directory_;
  const std::shared_ptr<Table> table_;
  std::mutex mutex_;
  std::vector<std::string> spare_;  // paths
  uint64_t number_ = 0;             // of the next
};

}  // namespace prov::queue
