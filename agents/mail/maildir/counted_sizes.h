// Sizes of messages whose names do not tell, counted once and remembered in the mailbox, in the file
// `prov-sizes`: a line `OCTETS STORED BASE` each, octets with CRLF line ends and as the file lies there. A
// cache: it may be lost or removed at any time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/status.h"

namespace prov::maildir {

inline constexpr char kSizesFile[] = "prov-sizes";
// A longer file is not read, and made anew. It has room for some 100 000 messages with names of usual length.
inline constexpr size_t kMaxSizesOctets = 16 << 20;

// Of one open mailbox whose lock the caller has. Not thread-safe.
class CountedSizes {
 public:
  // Reads the file; what cannot be read is counted anew.
  explicit CountedSizes(int mailbox);
  CountedSizes(const CountedSizes&) = delete;
  CountedSizes& operator=(const CountedSizes&) = delete;

  // Nothing: it is to be counted, and noted. The file must be as long as it was then.
  std::optional<uint64_t> Find(std::string_view base, uint64_t stored);
  void Note(std::string_view base, uint64_t stored, uint64_t octets);

  // Writes what was found and noted, if the file says something else.
  absl::Status Keep(int mailbox);

 private:
  struct Size {
    uint64_t octets = 0, stored = 0;
  };
  void Append(std::string_view base, const Size& size);

  const std::string text_;  // as read; `known_` has views into it
  std::unordered_map<std::string_view, Size> known_;
  std::string next_;
  size_t kept_ = 0, noted_ = 0;
};

}  // namespace prov::maildir
