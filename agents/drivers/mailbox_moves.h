// Mailboxes that move to or from the host's pool: tells who brings them, and clears away what was called off.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agents/drivers/driver.h"
#include "agents/drivers/file_owner.h"

namespace prov::drivers {

// `changed` is called with each move that comes or changes; it must be quick. When a move has left the view,
// what is staged below `root` for it is of no use any more: it was called off, or all is in the mailbox.
std::unique_ptr<Driver> MakeMailboxMoveDriver(std::string root, std::optional<FileOwner> owner,
                                              std::function<void()> changed);

}  // namespace prov::drivers
