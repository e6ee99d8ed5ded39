// UTF-8 (RFC 3629), and the characters that have no business in a name.
#pragma once

#include <cstddef>
#include <string_view>

namespace prov {

// Length of the sequence at the start of `text`, which must not be empty; 0 if it is malformed. Sets
// `character`.
size_t DecodeUtf8(std::string_view text, char32_t& character);

bool IsValidUtf8(std::string_view text);

// The longest beginning of at most so many octets that ends with a whole character.
std::string_view FirstOctetsOfUtf8(std::string_view text, size_t octets);

// C0, DEL, C1, line and paragraph separators, and what turns the direction of text around.
bool IsControlCharacter(char32_t character);

}  // namespace prov
