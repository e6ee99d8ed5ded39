// Sizes as people write them: "10M", "1G", "512k", "0"; in powers of 1024.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace prov {

constexpr int64_t kLargestSize = int64_t{1} << 50;  // 1024T

// Octets; nothing when it is no size, or a larger one.
std::optional<int64_t> ParseSize(std::string_view text);

}  // namespace prov
