// What happens by itself when its time has come: scheduled changes, the purge of closed subscribers, the
// members of removed lists, and the end of the change log.
//
// All but the last is one write through the queue, and takes away in the same transaction what made it due
// (I3): it happens once, however many provd look and whoever is killed. Times are the database's.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "server/api/lifecycle_steps.h"
#include "server/store/change_log.h"
#include "server/store/mailing_list_repository.h"
#include "server/store/schedule_repository.h"
#include "server/store/subscriber_repository.h"
#include "server/store/write_queue.h"

namespace prov::api {

// Thread-safe.
class DueWork {
 public:
  struct Parts {
    store::WriteQueue* writes = nullptr;
    store::ScheduleRepository* schedule = nullptr;
    store::SubscriberRepository* subscribers = nullptr;
    store::MailingListRepository* lists = nullptr;
    store::ChangeLog* changes = nullptr;
    LifecycleOptions lifecycle;
    std::chrono::milliseconds keep_changes{std::chrono::hours(30 * 24)};
    std::chrono::milliseconds interval{500};  // between looks, when there is nothing to do
  };
  // Starts its thread. The parts must outlive it.
  explicit DueWork(const Parts& parts);
  // Stops.
  ~DueWork();
  // Ends after the writes in progress. Harmless if it has ended.
  void Stop();

 private:
  void Loop();
  // Each does a page of its kind; true: there may be more.
  absl::StatusOr<bool> DoScheduled();
  absl::StatusOr<bool> PurgeExpired();
  absl::StatusOr<bool> RemoveMembers();
  absl::StatusOr<bool> CompactChanges();

  void DoInOrder(const std::vector<store::ScheduledChange>& changes);
  // What stands in the way of all, such as an absent database.
  absl::Status DoOne(const store::ScheduledChange& change);
  absl::Status SetAside(const store::ScheduledChange& change, const absl::Status& error);
  absl::Status PurgeOne(int64_t id);
  bool Stopping() const;

  const Parts parts_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point next_compaction_;
  std::thread thread_;
};

}  // namespace prov::api
