// ReadSnapshot over PostgreSQL.
#pragma once

#include <memory>

#include "server/store/connection_pool.h"
#include "server/store/read_snapshot.h"

namespace prov::store {

// Thread-safe. `pool` must outlive it and its snapshots.
class PostgresSnapshotSource final : public SnapshotSource {
 public:
  explicit PostgresSnapshotSource(ConnectionPool& pool) : pool_(pool) {}
  absl::StatusOr<std::unique_ptr<ReadSnapshot>> OpenSnapshot() override;

 private:
  ConnectionPool& pool_;
};

}  // namespace prov::store
