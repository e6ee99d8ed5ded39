// Passwords come from a terminal or from standard input; never from the command line (I7).
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace prov::cli {

// From standard input, up to the first line end; at most 1 MiB is read, and provd has the last word on
// length.
absl::StatusOr<std::string> ReadPasswordFromStdin();

// Asks twice on the controlling terminal, without echo. `whose` must be safe to print. INVALID_ARGUMENT with
// the text `without_terminal` where there is no terminal.
absl::StatusOr<std::string> PromptForPassword(const std::string& whose, std::string_view without_terminal);

}  // namespace prov::cli
