// A Maildir for each mailbox of the host's store pool.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "agents/drivers/driver.h"
#include "agents/drivers/file_owner.h"

namespace prov::drivers {

// Maildirs below `root` are made as `owner` (the engine's user) when given. A closed mailbox keeps its mail;
// one that left the view (purged, or moved to another pool) is removed, but if it moved and mail is there.
std::unique_ptr<Driver> MakeMaildirDriver(std::string root, std::optional<FileOwner> owner);

}  // namespace prov::drivers
