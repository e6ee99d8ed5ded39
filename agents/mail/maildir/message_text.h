// The text of one message file, with CRLF line ends.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace prov::maildir {

// What is being read stays readable when the file is removed.
class MessageReader {
 public:
  virtual ~MessageReader() = default;
  // The next piece, empty at the end; at most some 128 KiB. Blocks on the disk.
  virtual absl::StatusOr<std::string> Read() = 0;
  // Does not block: nothing where Read would have to wait for the disk, or has an error to tell.
  virtual std::optional<std::string> ReadFromMemory() = 0;
};

// NOT_FOUND when it is gone, or no regular file.
absl::StatusOr<std::unique_ptr<MessageReader>> OpenText(int directory, const std::string& name);

// Does not block: nullptr where OpenText would have to wait for the disk, or has an error to tell.
std::unique_ptr<MessageReader> OpenTextFromMemory(int directory, const std::string& name);

// By reading it.
absl::StatusOr<uint64_t> CountWireOctets(int directory, const std::string& name);

}  // namespace prov::maildir
