// Where the next CR or LF is. Pure.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace prov::maildir {

// Its place, or the size of `text` when there is none. Every octet of mail passes here, twice: eight at a
// time, for find_first_of makes a call for each of them, and memchr for one of the two would run ahead of the
// other again and again.
inline size_t FindLineEnd(std::string_view text) {
  size_t at = 0;
  if constexpr (std::endian::native == std::endian::little) {
    constexpr uint64_t kOnes = 0x0101010101010101, kTops = 0x8080808080808080;
    for (; at + sizeof(uint64_t) <= text.size(); at += sizeof(uint64_t)) {
      uint64_t octets;
      std::memcpy(&octets, text.data() + at, sizeof octets);
      // The lowest octet that is zero, and only above it perhaps others that are not, has its top bit set.
      const uint64_t lf = octets ^ kOnes * '\n', cr = octets ^ kOnes * '\r';
      const uint64_t zeros = (((lf - kOnes) & ~lf) | ((cr - kOnes) & ~cr)) & kTops;
      if (zeros != 0) return at + static_cast<size_t>(std::countr_zero(zeros)) / 8;
    }
  }
  while (at < text.size() && text[at] != '\n' && text[at] != '\r') ++at;
  return at;
}

}  // namespace prov::maildir
