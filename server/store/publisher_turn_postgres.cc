#include "server/store/publisher_turn_postgres.h"

#include <pqxx/pqxx>

#include "common/log.h"
#include "common/status.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

// Any number that nobody else on this database uses; migrations have another.
constexpr int64_t kAdvisoryLock = 0x70726f7650756273;  // "provPubs"

class PostgresPublisherTurn final : public PublisherTurn {
 public:
  explicit PostgresPublisherTurn(const std::string& conninfo) : conninfo_(conninfo) {}

  bool Hold() override {
    const absl::Status asked = Guarded("take the publisher's turn", [&] {
      if (connection_ == nullptr || !connection_->is_open()) {
        held_ = false;
        connection_ = std::make_unique<pqxx::connection>(conninfo_);
      }
      pqxx::nontransaction session(*connection_);
      // A lock that is held is asked for no more than whether its connection lives.
      if (held_) {
        session.exec("SELECT 1");
      } else {
        held_ = session.exec_params("SELECT pg_try_advisory_lock($1)", kAdvisoryLock)[0][0].as<bool>();
        if (held_) Log(Level::kInfo, "publisher_turn_taken", {});
      }
      return absl::OkStatus();
    });
    if (asked.ok()) return held_;
    connection_.reset();
    held_ = false;
    return false;
  }

  void Release() override {
    connection_.reset();  // and the lock with it
    held_ = false;
  }

 private:
  const std::string conninfo_;
  std::unique_ptr<pqxx::connection> connection_;
  bool held_ = false;
};

}  // namespace

std::unique_ptr<PublisherTurn> MakePostgresPublisherTurn(const std::string& conninfo) {
  return std::make_unique<PostgresPublisherTurn>(conninfo);
}

}  // namespace prov::store
