// The check of the host's copy, in a process of its own: a broken file may end whoever reads it.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace prov {

// `prov-agent check-state` ends with it when the copy is broken.
constexpr int kExitBroken = 3;

// Runs this program again, as `check-state` with this configuration. DATA_LOSS when it finds the copy broken,
// or dies of it; other errors when it could not look. One that takes very long is let off with a warning.
absl::Status CheckStateApart(const std::string& configuration);

}  // namespace prov
