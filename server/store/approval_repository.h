// Mass changes: how much each caller has taken away of late, and what an operator has approved.
//
// Counters move with the writes that they count; nothing is scanned.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/harm_limits.h"
#include "server/model/subscriber.h"
#include "server/store/connection_pool.h"
#include "server/store/write_queue.h"

namespace prov::store {

inline constexpr char kBlastRadius[] = "BLAST_RADIUS";  // ReasonOf

struct Approval {
  std::string target;  // "api/billing/crm", "directory", "hosts/store1"
  int64_t changes = 0;
  model::Time expire_time;
  std::string caller;  // who gave the word
};

// A caller who went beyond its limit and waits.
struct StoppedCaller {
  std::string caller;
  int64_t changes = 0;
  model::Time stopped_time;
};

// Thread-safe.
class ApprovalRepository {
 public:
  explicit ApprovalRepository(ConnectionPool& pool) : pool_(pool) {}

  // How many changes the target may make at once now by an operator's word; 0: no word, or it has expired.
  absl::StatusOr<uint64_t> Approved(const std::string& target);
  // At most `limit`.
  absl::StatusOr<std::vector<StoppedCaller>> Stopped(size_t limit);

  // Within a write. Counts so many more suspensions, closings and purges of the write's caller.
  // FAILED_PRECONDITION with reason BLAST_RADIUS when those are too many; MarkStopped then makes it stay so.
  static absl::Status Count(WriteTransaction& write, const model::HarmLimits& limits, int64_t changes = 1);
  // ALREADY_EXISTS when it is marked.
  static absl::Status MarkStopped(WriteTransaction& write);

  // Gives the word; an earlier one for the target is replaced. A stopped caller begins anew.
  static absl::StatusOr<Approval> Approve(WriteTransaction& write, const std::string& target, int64_t changes,
                                          std::chrono::seconds duration);

 private:
  ConnectionPool& pool_;
};

}  // namespace prov::store
