// "Come back in so long": google.rpc.RetryInfo in a status (AIP-193).
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "absl/status/status.h"

namespace prov {

// RESOURCE_EXHAUSTED that says when to try again.
absl::Status ExhaustedFor(std::chrono::milliseconds delay, std::string_view message);

// The delay that a status carries; nothing if none, or one that is no sane duration (up to a day).
std::optional<std::chrono::milliseconds> RetryDelayOf(const absl::Status& status);

}  // namespace prov
