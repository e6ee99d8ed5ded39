// Which drivers each of a host's roles needs.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/config.h"
#include "agents/drivers/driver.h"
#include "agents/drivers/file_owner.h"
#include "agents/drivers/purge_worker.h"
#include "agents/state/reader.h"
#include "agents/state/writer.h"
#include "common/clock.h"

namespace prov {

struct HostDrivers {
  std::vector<std::unique_ptr<drivers::Driver>> all;
  std::map<v1::Role, std::vector<drivers::Driver*>> of_role;  // in the order in which they run
};

// References must outlive the drivers. `spool` owns the maildirs; nothing: this process's user.
// `moves_changed` is called when a mailbox begins to move, from any thread.
HostDrivers MakeHostDrivers(const AgentConfig& config, std::optional<drivers::FileOwner> spool,
                            state::StateWriter& state, state::StateReader& reader, const Clock& clock,
                            const std::function<void()>& moves_changed);

// Where this host keeps the data of purged subscribers for a while. `spool` as above.
std::vector<drivers::PurgeRoot> PurgeRoots(const AgentConfig& config,
                                           const std::optional<drivers::FileOwner>& spool);

}  // namespace prov
