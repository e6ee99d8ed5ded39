// How often in a row this program has crashed on one state directory: a file that a signal handler can write.
//
// A copy that passes every check and still ends whoever opens it must not do so for ever.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace prov {

// From now on SIGSEGV, SIGBUS and SIGABRT add one to the count of this directory before they end the process
// as ever. Once in a process.
void CountCrashes(const std::string& directory);

// 0: none since the last ForgetCrashes. Adds one by hand.
uint64_t CrashesCounted(const std::string& directory);
void CountCrash(const std::string& directory);
absl::Status ForgetCrashes(const std::string& directory);

}  // namespace prov
