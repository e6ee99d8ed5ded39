// With what prov-agent ends; docs/man/prov-agent.8 tells it. 0 is success, kExitBroken is in state_check.h.
#pragma once

namespace prov {

constexpr int kExitFailure = 1;
constexpr int kExitConfiguration = 2;

}  // namespace prov
