// Host names at which a subscriber's web space is served, besides its place below the login. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace prov::model {

constexpr size_t kMaxWebNames = 20;

// Normalises the names in place: A-labels, lower case, sorted; duplicates go. INVALID_ARGUMENT on `field`.
absl::Status CheckWebNames(std::string_view field, std::vector<std::string>& names);

// The name itself and every domain above it that has two labels or more, the longest first: whose name it is,
// if one of them is hosted here.
std::vector<std::string> DomainsOver(std::string_view name);

}  // namespace prov::model
