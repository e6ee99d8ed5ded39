// Other programs run to their end, without a shell.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace prov {

struct ProgramEnd {
  int status = 0;      // of exit(2); 128 and the number when a signal ended it
  std::string errors;  // its standard error, the first 4 KiB
};

// `words`: the program's absolute path, then its arguments; none of them is looked at by a shell. It gets no
// input, an environment of PATH and LC_ALL=C only, and no signal is blocked or ignored in it. One that runs
// longer than `patience` is killed, and its children with it: DEADLINE_EXCEEDED. Blocks. Thread-safe.
absl::StatusOr<ProgramEnd> RunProgram(const std::vector<std::string>& words,
                                      std::chrono::milliseconds patience);

}  // namespace prov
