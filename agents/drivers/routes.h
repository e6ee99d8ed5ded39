// Routes need no work on the host: engines read them from the state, and its indexes are the routes.
#pragma once

#include <memory>

#include "agents/drivers/driver.h"
#include "agents/state/reader.h"

namespace prov::drivers {

// Inspect follows every address and login of a record through the indexes, as an engine would. `reader` must
// outlive the driver.
std::unique_ptr<Driver> MakeRouteDriver(state::StateReader& reader);

}  // namespace prov::drivers
