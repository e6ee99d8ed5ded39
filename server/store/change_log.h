// The log of changes that followers read (read_snapshot.h), and how far back it reaches.
#pragma once

#include <chrono>
#include <cstddef>

#include "absl/status/statusor.h"

namespace prov::store {

class ConnectionPool;

// Thread-safe.
class ChangeLog {
 public:
  explicit ChangeLog(ConnectionPool& pool) : pool_(pool) {}

  // Removes the oldest changes, those of about `page` rows at a time, that are older than `keep` by the
  // database's clock; true: there may be more. Who stands before them takes a snapshot or compares
  // everything. A revision goes whole; harmless beside other provd and beside readers, whose snapshots still
  // have it.
  absl::StatusOr<bool> Compact(std::chrono::milliseconds keep, size_t page);

 private:
  ConnectionPool& pool_;
};

}  // namespace prov::store
