#include "agents/state_check.h"

#include <fmt/format.h>

#include "common/log.h"
#include "common/program.h"

namespace prov {
namespace {

constexpr std::chrono::minutes kPatience{5};
constexpr int kSignalBase = 128;  // program.h
constexpr const char* kThisProgram = "/proc/self/exe";

}  // namespace

absl::Status CheckStateApart(const std::string& configuration) {
  const auto end = RunProgram({kThisProgram, "--config", configuration, "check-state"}, kPatience);
  if (absl::IsDeadlineExceeded(end.status())) {
    Log(Level::kWarning, "state_not_checked", {{"error", end.status()}});
    return absl::OkStatus();
  }
  if (!end.ok()) return end.status();
  if (end->status == 0) return absl::OkStatus();
  if (end->status > kSignalBase) {
    return absl::DataLossError(
        fmt::format("signal {} ended the program that read it", end->status - kSignalBase));
  }
  const std::string told = end->errors.substr(0, end->errors.find('\n'));
  return end->status == kExitBroken ? absl::DataLossError(told) : absl::UnavailableError(told);
}

}  // namespace prov
