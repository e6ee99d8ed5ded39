// How deliveries and deletions keep count of what a mailbox holds, in its `maildirsize`, side by side with
// clones on a shared file system and with other software (quota.h).
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/maildir/quota.h"
#include "agents/mail/maildir/quota_lock.h"

namespace prov::maildir {

// One message's part in the sum. To be kept until the message is there: nobody counts meanwhile.
class QuotaShare {
 public:
  // Counts in a message of so many octets, or refuses with OUT_OF_RANGE, its text for people, when the
  // mailbox would hold more than `limit`. It is counted before it is there, so that deliveries side by side
  // do not both take what is left; nobody is refused by an old sum: then the mailbox is counted first, but at
  // most once in a quarter of an hour while it does not change. `mailbox` must stay open as long.
  static absl::StatusOr<QuotaShare> Take(int mailbox, int64_t limit, int64_t octets);

  QuotaShare(QuotaShare&&) = default;
  // The message did not come: takes its part out again. Should this fail, the next count mends it.
  void Return();

 private:
  QuotaShare(int mailbox, int64_t octets, QuotaLock lock)
      : mailbox_(mailbox), octets_(octets), lock_(std::move(lock)) {}
  // Nothing: it is to be decided alone.
  static absl::StatusOr<std::optional<QuotaShare>> TakeWithOthers(int mailbox, int64_t limit, int64_t octets);
  int mailbox_;
  int64_t octets_;
  QuotaLock lock_;
};

// Takes what went off the sum; does nothing where the mailbox keeps none. `lock` was taken before it went.
absl::Status SubtractUsage(int mailbox, const Usage& gone, const QuotaLock& lock);

}  // namespace prov::maildir
