// The host's Unix accounts, from all roles that have any.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agents/drivers/driver.h"
#include "common/clock.h"

namespace prov::drivers {

struct AccountOptions {
  std::string root;         // ROOT/etc/passwd.cache and so on
  std::string home_prefix;  // pw_dir is HOME_PREFIX/xx/yy/HOME_ID
  uint32_t least_uid = 0;   // lower ones are refused
  std::vector<v1::Role> roles;
  std::chrono::milliseconds longest_rest = std::chrono::seconds(1);  // between two writes
};

// The account that a record of one of the roles stands for: its own, or in role store that of the subscriber
// to whom the mailbox belongs. Nothing: none.
std::optional<v1::Account> AccountOf(const v1::Record& record);

// Gathers: the files are written whole by Flush, from the state, for all roles. A write is followed by a rest
// that is some times as long as the write was. Suspended and closed accounts stay in them, so that their
// files keep an owner with a name. `state` and `clock` must outlive the driver.
std::unique_ptr<Driver> MakeAccountDriver(AccountOptions options, state::StateWriter& state,
                                          const Clock& clock);

}  // namespace prov::drivers
