// The host's Unix accounts in /etc/passwd itself, by useradd(8) and its like: for hosts with few of them. The
// other way is accounts.h.
#pragma once

#include <memory>

#include "agents/drivers/accounts.h"
#include "agents/drivers/driver.h"

namespace prov::drivers {

// One program after the other, each as long as it takes, at most 30 seconds. Accounts that others made are
// never changed or removed: a name or uid that is taken fails. Nobody gets a password or a shell. `state`
// must outlive the driver.
std::unique_ptr<Driver> MakeShadowDriver(AccountOptions options, state::StateWriter& state);

}  // namespace prov::drivers
