// Files that survive a power cut: written whole, synced, then given their name.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov {

// Owns a file descriptor; closes it, ignoring errors, unless Close was called. Movable.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.Release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release();
  // A close that fails may mean that written data is lost (NFS): use it for what was written.
  absl::Status Close();

 private:
  int fd_ = -1;
};

// The whole file; RESOURCE_EXHAUSTED if larger than `limit` octets.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit);

// Writes all of `data`, resuming after short writes and EINTR.
absl::Status WriteAll(int fd, std::string_view data);

// Replaces `path` atomically: a temporary file beside it, fsync, checked close, rename, fsync of the
// directory. After an error the old file is untouched. Two writers of one path at once: the last one wins,
// whole.
absl::Status ReplaceFile(const std::string& path, std::string_view content, mode_t mode);

// Makes names created in, moved into or removed from `directory` durable.
absl::Status SyncDirectory(const std::string& directory);

// Creates `path` with `mode` if it is not there, and syncs its parent; one level only. An existing directory
// is OK.
absl::Status EnsureDirectory(const std::string& path, mode_t mode);

}  // namespace prov
