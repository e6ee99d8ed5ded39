// The steps of a subscriber's life, whoever takes them: a call, a schedule, or the end of a closed one's
// time.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/harm_limits.h"
#include "server/model/subscriber.h"
#include "server/store/write_queue.h"

namespace prov::api {

struct LifecycleOptions {
  std::chrono::seconds undelete = std::chrono::hours(30 * 24);  // how long a closed one can come back
  int reserve_days = 365;  // how long a purged one's addresses are nobody's
  model::HarmLimits harm;
};

// Reason of a purge that has to wait for a mailbox move.
inline constexpr char kMailboxMoving[] = "MAILBOX_MOVING";

// FAILED_PRECONDITION on `name` for closed and purged ones.
absl::Status NotClosed(const model::Subscriber& subscriber);

// Each changes the subscriber in place, to be saved; false: it is so already. FAILED_PRECONDITION on `name`
// from a state that the step does not begin in. Those that take something away are counted against the
// write's caller: FAILED_PRECONDITION with reason BLAST_RADIUS.
absl::StatusOr<bool> Suspend(store::WriteTransaction& write, model::Subscriber& subscriber,
                             const std::string& reason, const LifecycleOptions& options);
absl::StatusOr<bool> Resume(store::WriteTransaction& write, model::Subscriber& subscriber);
absl::StatusOr<bool> Close(store::WriteTransaction& write, model::Subscriber& subscriber,
                           const LifecycleOptions& options);
absl::StatusOr<bool> Undelete(store::WriteTransaction& write, model::Subscriber& subscriber);
absl::StatusOr<bool> Purge(store::WriteTransaction& write, model::Subscriber& subscriber,
                           const LifecycleOptions& options);

}  // namespace prov::api
