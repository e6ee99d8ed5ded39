#include "server/store/connection_pool.h"

#include <chrono>
#include <pqxx/pqxx>
#include <utility>

#include "common/status.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

constexpr std::chrono::seconds kLongestWait(10);

}  // namespace

ConnectionPool::ConnectionPool(std::string conninfo, size_t most)
    : conninfo_(std::move(conninfo)), most_(most) {}
ConnectionPool::~ConnectionPool() = default;

ConnectionPool::Lease::Lease(ConnectionPool& pool, std::unique_ptr<pqxx::connection> connection)
    : pool_(&pool), connection_(std::move(connection)) {}

ConnectionPool::Lease::~Lease() {
  if (connection_) pool_->Release(std::move(connection_));
}

std::unique_ptr<pqxx::connection> OpenConnection(const std::string& conninfo) {
  auto connection = std::make_unique<pqxx::connection>(conninfo);
  // libpqxx 6 would silently connect again, with session state lost; we want to know. Its successor never
  // does, hence the deprecation.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  connection->inhibit_reactivation(true);
#pragma GCC diagnostic pop
  connection->set_client_encoding("UTF8");
  return connection;
}

std::unique_ptr<pqxx::connection> ConnectionPool::Connect() const {
  auto connection = OpenConnection(conninfo_);
  // Every statement of the service goes by key (I9). A plan that was made while a table was empty must not
  // scan it, or an index of it, when it is full. The penalty for a scan is high enough to have small plans
  // compiled, which takes longer than they do.
  pqxx::nontransaction(*connection)
      .exec("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off");
  return connection;
}

absl::StatusOr<ConnectionPool::Lease> ConnectionPool::Acquire() {
  std::unique_lock lock(mutex_);
  if (!freed_.wait_for(lock, kLongestWait, [&] { return lent_ < most_; })) {
    return absl::ResourceExhaustedError("all database connections are busy; try again later");
  }
  ++lent_;
  while (!idle_.empty()) {
    std::unique_ptr<pqxx::connection> connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->is_open()) return Lease(*this, std::move(connection));
  }
  lock.unlock();
  return Guarded("connect", [&]() -> absl::StatusOr<Lease> {
    try {
      return Lease(*this, Connect());
    } catch (const std::exception&) {
      Release(nullptr);
      throw;
    }
  });
}

void ConnectionPool::Release(std::unique_ptr<pqxx::connection> connection) {
  std::lock_guard lock(mutex_);
  --lent_;
  if (connection && connection->is_open()) idle_.push_back(std::move(connection));
  freed_.notify_one();
}

}  // namespace prov::store
