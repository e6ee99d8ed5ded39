// Pools and hosts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/fleet.h"
#include "server/store/connection_pool.h"
#include "server/store/write_queue.h"

namespace prov::store {

// Thread-safe.
class FleetRepository {
 public:
  explicit FleetRepository(ConnectionPool& pool) : pool_(pool) {}

  // NOT_FOUND on field `name`.
  absl::StatusOr<model::Pool> GetPool(const std::string& id);
  absl::StatusOr<model::Host> GetHost(const std::string& id);
  // By id, those after `after`.
  absl::StatusOr<std::vector<model::Pool>> ListPools(const std::string& after, size_t limit);
  absl::StatusOr<std::vector<model::Host>> ListHosts(const std::string& after, size_t limit);

  // Within a write. ALREADY_EXISTS on `pool.name` or `host.name`; NOT_FOUND on `host.pools`.
  static absl::StatusOr<model::Pool> FindPool(WriteTransaction& write, const std::string& id);
  static absl::StatusOr<model::Host> FindHost(WriteTransaction& write, const std::string& id);
  static absl::StatusOr<model::Pool> InsertPool(WriteTransaction& write, const model::Pool& pool);
  static absl::StatusOr<model::Host> InsertHost(WriteTransaction& write, const model::Host& host);
  // Writes weight; FAILED_PRECONDITION to remove one that hosts, mailboxes or lists are in.
  static absl::StatusOr<model::Pool> SavePool(WriteTransaction& write, const model::Pool& pool);
  static absl::Status RemovePool(WriteTransaction& write, const std::string& id);
  // Writes pools, weight and state.
  static absl::StatusOr<model::Host> SaveHost(WriteTransaction& write, const model::Host& host);
  static absl::Status RemoveHost(WriteTransaction& write, const std::string& id);
  // Asks the host's agents for an inspection; its revision stays.
  static absl::StatusOr<model::Host> RequestInspection(WriteTransaction& write, const std::string& id,
                                                       bool repair);
  static absl::StatusOr<model::Host> SetEndpoints(WriteTransaction& write, const std::string& id,
                                                  const std::map<std::string, std::string>& endpoints);

 private:
  ConnectionPool& pool_;
};

}  // namespace prov::store
