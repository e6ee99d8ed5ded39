// A few database connections, lent out one at a time.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <pqxx/connection>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace prov::store {

// A connection that stays broken once it broke. Throws what libpqxx throws.
std::unique_ptr<pqxx::connection> OpenConnection(const std::string& conninfo);

// Thread-safe. Must outlive its leases.
class ConnectionPool {
 public:
  // `conninfo` as libpq takes it. Connections are made when first needed.
  ConnectionPool(std::string conninfo, size_t most);
  ~ConnectionPool();

  // Gives the connection back when destroyed; one that broke is closed instead.
  class Lease {
   public:
    Lease(ConnectionPool& pool, std::unique_ptr<pqxx::connection> connection);
    Lease(Lease&&) noexcept = default;
    ~Lease();
    pqxx::connection& operator*() const { return *connection_; }

   private:
    ConnectionPool* pool_;
    std::unique_ptr<pqxx::connection> connection_;
  };

  // Waits up to 10 s for one to be free (RESOURCE_EXHAUSTED after that). UNAVAILABLE when the database is
  // away.
  absl::StatusOr<Lease> Acquire();

  // A connection of one's own, outside the pool. Throws what libpqxx throws.
  std::unique_ptr<pqxx::connection> Connect() const;

 private:
  void Release(std::unique_ptr<pqxx::connection> connection);

  const std::string conninfo_;
  const size_t most_;
  std::mutex mutex_;
  std::condition_variable freed_;
  size_t lent_ = 0;
  std::vector<std::unique_ptr<pqxx::connection>> idle_;
};

}  // namespace prov::store
