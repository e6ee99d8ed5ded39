// A Maildir for each mailbox of the host's store pool.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "agents/drivers/driver.h"
#include "agents/drivers/file_owner.h"
#include "common/clock.h"

namespace prov::drivers {

struct MaildirOptions {
  std::string root;
  std::optional<FileOwner> owner;  // makes and has them (the engine's user); nothing: this process's user
  // Each maildir belongs to its subscriber's uid instead, for software that takes on the uid of each. Needs
  // root.
  bool owned_by_account = false;
  uint32_t least_uid = 0;  // lower ones are refused as owners
  // How long the data of a purged one is kept out of service (purged_data.h); 0: removed at once.
  std::chrono::milliseconds purge_grace{0};
  const Clock* clock = &SystemClock();  // for the date at which it was purged
};

// A closed mailbox keeps its mail. One that left the view (purged, or moved to another pool) goes, but if it
// moved and mail is there. One that comes back while its data is kept has it again.
std::unique_ptr<Driver> MakeMaildirDriver(MaildirOptions options);

}  // namespace prov::drivers
