#include "server/store/trust_postgres.h"

#include <chrono>
#include <pqxx/pqxx>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "server/store/connection_pool.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

constexpr std::chrono::milliseconds kLookInterval(1000);

constexpr char kVersion[] = "SELECT version FROM prov.trust";
constexpr char kRevoked[] =
    "SELECT serial FROM prov.revoked_certificate WHERE expire_time IS NULL OR expire_time > now()";
constexpr char kCutOff[] = R"(
SELECT o.identity, COALESCE(c.serial, '')
FROM prov.identity_cut_off o LEFT JOIN prov.certificate c ON c.identity = o.identity AND c.expire_time > now()
  AND NOT EXISTS (SELECT 1 FROM prov.revoked_certificate r WHERE r.serial = c.serial))";

Withdrawn ReadWithdrawn(pqxx::transaction_base& read) {
  Withdrawn withdrawn;
  for (const auto& row : read.exec(kRevoked)) withdrawn.serials.insert(row[0].as<std::string>());
  for (const auto& row : read.exec(kCutOff)) {
    std::set<std::string>& serials = withdrawn.identities[row[0].as<std::string>()];
    if (const auto serial = row[1].as<std::string>(); !serial.empty()) serials.insert(serial);
  }
  return withdrawn;
}

absl::Status Refused(std::string_view what) {
  return FieldError(absl::StatusCode::kUnauthenticated, "certificate", "CERTIFICATE_REVOKED", what);
}

}  // namespace

absl::Status Withdrawn::Check(const std::string& identity, const std::string& serial) const {
  if (serials.contains(serial)) return Refused("is revoked; ask an operator for another");
  const auto cut_off = identities.find(identity);
  if (cut_off == identities.end() || cut_off->second.contains(serial)) return absl::OkStatus();
  return Refused("is from before its owner was evicted; enrol again");
}

PostgresTrust::PostgresTrust(std::string conninfo) : conninfo_(std::move(conninfo)) {}

PostgresTrust::~PostgresTrust() { Stop(); }

void PostgresTrust::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void PostgresTrust::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

absl::Status PostgresTrust::Refresh() {
  const std::lock_guard one(reading_);
  absl::Status status = Guarded("read revocations", [&] {
    if (!connection_ || !connection_->is_open()) connection_ = OpenConnection(conninfo_);
    pqxx::transaction<pqxx::repeatable_read, pqxx::read_only> read(*connection_);
    const auto version = read.exec1(kVersion)[0].as<int64_t>();
    {
      const std::lock_guard lock(mutex_);
      if (version == version_) return absl::OkStatus();
    }
    auto withdrawn = std::make_shared<Withdrawn>(ReadWithdrawn(read));
    const std::lock_guard lock(mutex_);
    version_ = version;
    withdrawn_ = std::move(withdrawn);
    return absl::OkStatus();
  });
  if (!status.ok()) connection_.reset();
  return status;
}

void PostgresTrust::Loop() {
  bool failing = false;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kLookInterval, [this] { return stopping_; })) {
    lock.unlock();
    const absl::Status status = Refresh();
    if (!status.ok() && !failing) Log(Level::kWarning, "revocations_not_read", {{"error", status}});
    failing = !status.ok();
    lock.lock();
  }
}

absl::Status PostgresTrust::Check(const std::string& identity, const std::string& serial) const {
  std::shared_ptr<const Withdrawn> withdrawn;
  {
    const std::lock_guard lock(mutex_);
    withdrawn = withdrawn_;
  }
  return withdrawn->Check(identity, serial);
}

}  // namespace prov::store
