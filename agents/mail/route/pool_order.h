// In which order the hosts of a pool are tried. Pure but for the chance it is given.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "prov/v1/agent_sync.pb.h"

namespace prov::route {

// A number below `bound`, which is at least 1.
using Chance = std::function<uint64_t(uint64_t bound)>;

// Endpoints (host:port) of the members that offer `service` and are not drained: each place is drawn by
// weight among those left, so that every host is tried in the end. A weight of 0 comes after all others.
std::vector<std::string> OrderEndpoints(const v1::PoolMembers& pool, std::string_view service,
                                        const Chance& chance);

}  // namespace prov::route
