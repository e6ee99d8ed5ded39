// Group commit for names: callers that come while a directory is being synced share the next sync.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/status/status.h"

namespace prov::queue {

// Thread-safe; blocks.
class SharedSync {
 public:
  explicit SharedSync(std::string directory) : directory_(std::move(directory)) {}

  // When it returns OK, every name made or removed before the call is durable.
  absl::Status Sync();

 private:
  const std::string directory_;
  std::mutex mutex_;
  // Those who wait for one sync, and those who wait for the next: each is woken once, not by every sync.
  std::condition_variable changed_[2];
  uint64_t begun_ = 0, finished_ = 0;  // syncs
  uint64_t failed_ = 0;                // the newest one that failed
  absl::Status failure_;
  bool running_ = false;
};

}  // namespace prov::queue
