// Removes what was taken out of service (purged_data.h) when its time is over: a thread, and a round now and
// then.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agents/drivers/file_owner.h"
#include "common/clock.h"

namespace prov::drivers {

struct PurgeRoot {
  std::string path;
  std::optional<FileOwner> owner;  // whom to act as there
};

class PurgeWorker {
 public:
  // `clock` must outlive it. Only its monotonic time is used.
  static std::unique_ptr<PurgeWorker> Start(std::vector<PurgeRoot> roots, std::chrono::milliseconds grace,
                                            const Clock& clock);
  // Ends after the entry that is being removed.
  virtual ~PurgeWorker() = default;

  // Entries that wait for their removal, as the last round saw them; 0 on hosts that stand by. Thread-safe.
  virtual uint64_t waiting() const = 0;
  // Entries removed since the start. Thread-safe.
  virtual uint64_t removed() const = 0;
};

}  // namespace prov::drivers
