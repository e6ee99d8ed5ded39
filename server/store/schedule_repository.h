// Changes of subscribers that are to happen later.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/subscriber.h"
#include "server/store/connection_pool.h"
#include "server/store/write_queue.h"

namespace prov::store {

constexpr size_t kMostScheduledChanges = 10;  // of one subscriber, failed ones included

struct ScheduledChange {
  int64_t id = 0;
  int64_t subscriber_id = 0;
  std::string login;  // of the subscriber
  model::Time effective_time;
  std::string method;   // "/prov.v1.Subscribers/SuspendSubscriber"
  std::string request;  // serialised, without what is settled when it is scheduled; never a secret
  std::string caller;
  model::Time create_time;
  std::string error;     // why it failed; empty: it has not
  bool stopped = false;  // its time has come, and its caller awaits an operator's word
};

// Thread-safe.
class ScheduleRepository {
 public:
  explicit ScheduleRepository(ConnectionPool& pool) : pool_(pool) {}

  // Soonest first, those after `after_time` and `after_id`; `subscriber_id` 0: of all.
  absl::StatusOr<std::vector<ScheduledChange>> List(int64_t subscriber_id, model::Time after_time,
                                                    int64_t after_id, size_t limit);
  // Those whose time has come by the database's clock and that have not failed, soonest first. Not of callers
  // who await an operator's word.
  absl::StatusOr<std::vector<ScheduledChange>> Due(size_t limit);

  // Within a write. RESOURCE_EXHAUSTED when the subscriber has kMostScheduledChanges.
  static absl::Status Insert(WriteTransaction& write, const ScheduledChange& change);
  static absl::StatusOr<std::vector<ScheduledChange>> OfSubscriber(WriteTransaction& write,
                                                                   int64_t subscriber_id);
  // Takes it out. NOT_FOUND on `name`: it is done, cancelled, or never was.
  static absl::StatusOr<ScheduledChange> Remove(WriteTransaction& write, int64_t id);
  static absl::Status RemoveAllOf(WriteTransaction& write, int64_t subscriber_id);
  // Sets it aside. NOT_FOUND as above.
  static absl::Status SetError(WriteTransaction& write, int64_t id, const std::string& error);

 private:
  ConnectionPool& pool_;
};

}  // namespace prov::store
