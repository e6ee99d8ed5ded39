// RevisionWatch over LISTEN/NOTIFY: the writer notifies in the transaction that moves the revision.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "server/store/revision_watch.h"

namespace prov::store {

// Connects again after the database was away, and reads the revision anew then: a lost notification delays
// nobody.
class PostgresRevisionWatch final : public RevisionWatch {
 public:
  explicit PostgresRevisionWatch(std::string conninfo);
  ~PostgresRevisionWatch() override;

  uint64_t head() const override;
  uint64_t WaitBeyond(uint64_t revision, std::chrono::milliseconds timeout) override;
  uint64_t Subscribe(std::function<void(uint64_t)> listener) override;
  void Unsubscribe(uint64_t id) override;

  // Ends all waits, now and later.
  void Stop();

 private:
  void Loop();
  void Listen();
  void Advance(uint64_t head);

  const std::string conninfo_;
  mutable std::mutex mutex_;
  std::condition_variable moved_;
  uint64_t head_ = 0;
  std::atomic<bool> stopping_{false};

  std::mutex listeners_mutex_;
  uint64_t last_listener_ = 0;
  std::map<uint64_t, std::function<void(uint64_t)>> listeners_;
  std::thread thread_;
};

}  // namespace prov::store
