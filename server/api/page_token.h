// Page tokens (AIP-158): opaque to callers, good for the query they were given for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace prov::api {

constexpr int32_t kDefaultPageSize = 100;
constexpr int32_t kMaxPageSize = 1000;

// 0 is the default, more than the most is the most; negative is INVALID_ARGUMENT on page_size.
absl::StatusOr<size_t> PageSize(int32_t requested);

// `query` is whatever must stay the same from page to page; `last` the key of the last row sent.
std::string MakePageToken(std::string_view query, std::string_view last);

// The `last` of a token; "" for the empty token. INVALID_ARGUMENT on page_token when it is malformed or
// another query's.
absl::StatusOr<std::string> ReadPageToken(std::string_view query, std::string_view token);

}  // namespace prov::api
