// Hosted domains.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/model/domain.h"
#include "server/store/connection_pool.h"
#include "server/store/write_queue.h"

namespace prov::store {

// Thread-safe.
class DomainRepository {
 public:
  explicit DomainRepository(ConnectionPool& pool) : pool_(pool) {}

  // NOT_FOUND on field `name`.
  absl::StatusOr<model::Domain> Get(const std::string& name);
  // By name, those after `after`.
  absl::StatusOr<std::vector<model::Domain>> List(const std::string& after, size_t limit);

  // Within a write.
  static absl::StatusOr<model::Domain> Find(WriteTransaction& write, const std::string& name);
  // ALREADY_EXISTS on field `domain.name`.
  static absl::StatusOr<model::Domain> Insert(WriteTransaction& write, model::Domain domain);
  // Records the change of the domain, and of its suspended subscribers when `policy_changed`.
  static absl::StatusOr<model::Domain> Save(WriteTransaction& write, const model::Domain& domain,
                                            bool policy_changed);

  // What refers to a domain, within a write.
  struct Uses {
    bool addresses = false;  // of subscribers or lists, reserved ones included
    bool aliases = false;    // other domains are aliases of it
  };
  static absl::StatusOr<Uses> UsesOf(WriteTransaction& write, const std::string& name);
  // Whether a subscriber or a list has the address.
  static absl::StatusOr<bool> HasAddress(WriteTransaction& write, const std::string& address);
  // FAILED_PRECONDITION while an address, a subscriber or another domain refers to it.
  static absl::Status Remove(WriteTransaction& write, const std::string& name);

 private:
  ConnectionPool& pool_;
};

}  // namespace prov::store
