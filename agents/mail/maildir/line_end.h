// Where the next CR or LF is. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace prov::maildir {

// Its place, or the size of `text` when there is none. Every octet of mail passes here, twice: find_first_of
// makes a call for each of them.
inline size_t FindLineEnd(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && text[at] != '\n' && text[at] != '\r') ++at;
  return at;
}

}  // namespace prov::maildir
