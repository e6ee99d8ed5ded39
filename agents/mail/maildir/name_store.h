// Many short strings that live and die together, packed: file names of a large mailbox.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace prov::maildir {

// Not thread-safe.
class NameStore {
 public:
  // A copy that lives as long as the store.
  std::string_view Keep(std::string_view text) {
    if (text.size() > left_) {
      left_ = std::max(text.size(), chunks_.empty() ? kFirstChunkOctets : kChunkOctets);
      octets_ += left_;
      chunks_.push_back(std::make_unique<char[]>(left_));
      next_ = chunks_.back().get();
    }
    char* const copy = next_;
    std::memcpy(copy, text.data(), text.size());
    next_ += text.size();
    left_ -= text.size();
    return {copy, text.size()};
  }

  // Of memory, not of text.
  size_t octets() const { return octets_; }

 private:
  static constexpr size_t kFirstChunkOctets = 512;  // most mailboxes hold a few messages
  static constexpr size_t kChunkOctets = 64 * 1024;

  std::vector<std::unique_ptr<char[]>> chunks_;
  char* next_ = nullptr;
  size_t left_ = 0, octets_ = 0;
};

}  // namespace prov::maildir
