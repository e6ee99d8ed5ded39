#include "server/store/revision_watch_postgres.h"

#include <charconv>
#include <pqxx/pqxx>
#include <utility>

#include "common/log.h"
#include "server/store/connection_pool.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

constexpr long kPollMicroseconds = 200'000;  // how soon Stop is noticed
constexpr int kPollsPerCheck = 25;           // every 5 s the revision is read, should a notification be lost
constexpr std::chrono::milliseconds kReconnectDelay(200);

class RevisionReceiver final : public pqxx::notification_receiver {
 public:
  RevisionReceiver(pqxx::connection& connection, std::function<void(uint64_t)> advance)
      : pqxx::notification_receiver(connection, "prov_revision"), advance_(std::move(advance)) {}

  void operator()(const std::string& payload, int) override {
    uint64_t revision = 0;
    std::from_chars(payload.data(), payload.data() + payload.size(), revision);
    advance_(revision);
  }

 private:
  const std::function<void(uint64_t)> advance_;
};

}  // namespace

PostgresRevisionWatch::PostgresRevisionWatch(std::string conninfo)
    : conninfo_(std::move(conninfo)), thread_([this] { Loop(); }) {}

PostgresRevisionWatch::~PostgresRevisionWatch() { Stop(); }

void PostgresRevisionWatch::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  moved_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PostgresRevisionWatch::Loop() {
  while (!stopping_) {
    const absl::Status status = Guarded("listen for revisions", [&] {
      Listen();
      return absl::OkStatus();
    });
    if (status.ok() || stopping_) continue;
    std::unique_lock lock(mutex_);
    moved_.wait_for(lock, kReconnectDelay, [&] { return stopping_.load(); });
  }
}

void PostgresRevisionWatch::Listen() {
  const std::unique_ptr<pqxx::connection> owned = OpenConnection(conninfo_);
  pqxx::connection& connection = *owned;
  const RevisionReceiver receiver(connection, [this](uint64_t head) { Advance(head); });
  while (!stopping_) {
    {
      pqxx::nontransaction read(connection);
      Advance(read.exec1("SELECT value FROM prov.revision")[0].as<uint64_t>());
    }
    for (int polls = 0; polls < kPollsPerCheck && !stopping_; ++polls)
      connection.await_notification(0, kPollMicroseconds);
  }
}

void PostgresRevisionWatch::Advance(uint64_t head) {
  {
    std::lock_guard lock(mutex_);
    if (head <= head_) return;
    head_ = head;
  }
  moved_.notify_all();
  std::lock_guard lock(listeners_mutex_);
  for (const auto& [id, listener] : listeners_) listener(head);
}

uint64_t PostgresRevisionWatch::head() const {
  std::lock_guard lock(mutex_);
  return head_;
}

uint64_t PostgresRevisionWatch::WaitBeyond(uint64_t revision, std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  moved_.wait_for(lock, timeout, [&] { return stopping_ || head_ > revision; });
  return head_;
}

uint64_t PostgresRevisionWatch::Subscribe(std::function<void(uint64_t)> listener) {
  std::lock_guard lock(listeners_mutex_);
  listeners_.emplace(++last_listener_, std::move(listener));
  return last_listener_;
}

void PostgresRevisionWatch::Unsubscribe(uint64_t id) {
  std::lock_guard lock(listeners_mutex_);
  listeners_.erase(id);
}

}  // namespace prov::store
