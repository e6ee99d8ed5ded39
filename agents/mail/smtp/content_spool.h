// A message that is held while it comes in: in memory when small, in an unnamed file when not.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/file.h"

namespace prov::smtp {

constexpr size_t kMostOctetsInMemory = 1024 * 1024;  // of one
// Of all in the process; beyond that, what is small goes to disk, too.
constexpr size_t kMostOctetsInMemoryOfAll = 128 * 1024 * 1024;

// Not thread-safe, but may move between threads. Blocks on the disk once it is large.
class ContentSpool {
 public:
  // Files are made in `directory`, and have no name: nothing is left whatever happens.
  explicit ContentSpool(std::string directory) : directory_(std::move(directory)) {}
  ContentSpool(const ContentSpool&) = delete;
  ~ContentSpool();

  absl::Status Append(std::string_view content);
  // Whether appending so much more may touch the disk.
  bool WantsDisk(size_t octets) const;
  uint64_t octets() const { return file_octets_ + memory_.size(); }

  // Shows all of it, in pieces; stops at the first error.
  absl::Status ForEach(const std::function<absl::Status(std::string_view)>& visit) const;

 private:
  absl::Status Spill();

  const std::string directory_;
  std::string memory_;  // what follows what is in the file
  FileDescriptor file_;
  uint64_t file_octets_ = 0;
};

}  // namespace prov::smtp
