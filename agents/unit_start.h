// Starts the agent's systemd unit and stays until it is ready.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov {

constexpr char kAgentUnit[] = "prov-agent.service";

// Runs `systemctl` with these arguments; its standard output. An error when it cannot be run or fails.
using Systemctl = std::function<absl::StatusOr<std::string>(const std::vector<std::string>& arguments)>;
Systemctl RealSystemctl();

// Enables the unit and starts it, or takes it as it is when it runs, and looks until systemd calls it active,
// which for this unit is: ready. `tell` gets each new line of how far it is; `pause` is called between two
// looks. FAILED_PRECONDITION when it failed; the text says where to look.
absl::Status StartUnit(const Systemctl& systemctl, const std::function<void(const std::string&)>& tell,
                       const std::function<void()>& pause);

}  // namespace prov
