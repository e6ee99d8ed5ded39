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
  std::chrono::milliseconds write_interval = std::chrono::seconds(1);  // at least, between large ones
};

// The account that a record of one of the roles stands for: its own, or in role store that of the subscriber
// to whom the mailbox belongs. Nothing: none.
std::optional<v1::Account> AccountOf(const v1::Record& record);

// Gathers: the files are written whole by Flush, for all roles. What was applied is put in its place among
// the lines that are there (docs/decisions/0020); they are made from the state when the agent starts, when
// somebody else has been at them, and while a login or uid is claimed twice. A write takes some 200 octets of
// memory for each account, some 450 when all are made from the state.
//
// A write is followed by a rest three times as long, or until write_interval has passed since it began, and a
// quarter as long at least. Suspended and closed accounts stay, so that their files keep an owner with a
// name; who has an account already keeps it while the state is made anew. Names and uids of ROOT/etc/passwd
// are refused. `state` and `clock` must outlive the driver.
std::unique_ptr<Driver> MakeAccountDriver(AccountOptions options, state::StateWriter& state,
                                          const Clock& clock);

}  // namespace prov::drivers
