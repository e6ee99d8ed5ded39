// Who did what, when, from where. Writes are audited by the write queue in their own transaction; here are
// the refused calls, reading, and checking the chain.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/audit_chain.h"
#include "server/store/connection_pool.h"

namespace prov::store {

struct AuditQuery {
  uint64_t before_id = 0;  // older than this one; 0: from the newest
  std::string resource;    // empty: all
  std::string caller;      // empty: all
  std::optional<model::Time> since;
  size_t limit = 0;
};

struct AuditCheck {
  AuditHead after;                 // trusted
  std::optional<AuditHead> noted;  // see AuditWalk
  uint64_t most_records = 0;       // then it stops, incomplete
  std::function<bool()> cancelled;
};

struct AuditVerdict {
  uint64_t records_checked = 0;
  AuditHead reached;  // where the next check may go on
  AuditHead head;     // of the log when the check began
  bool complete = false;
  std::optional<AuditBreak> broken;
};

// Thread-safe.
class AuditRepository {
 public:
  explicit AuditRepository(ConnectionPool& pool) : pool_(pool) {}

  // A call that is no write: one that was refused, or that acts elsewhere. Writes are audited by their queue.
  // Id and hash are given here; revision is 0.
  absl::Status Record(const AuditRecord& record);

  // The newest record's place.
  absl::StatusOr<AuditHead> Head();

  // Newest first.
  absl::StatusOr<std::vector<AuditRecord>> List(const AuditQuery& query);

  // Walks the chain up to where it is when the check begins, page by page. CANCELLED when `cancelled` says
  // so.
  absl::StatusOr<AuditVerdict> Verify(const AuditCheck& check);

 private:
  // `last_id`: the newest record that is there, whatever the head says.
  absl::StatusOr<AuditHead> ReadHead(uint64_t* last_id);
  absl::StatusOr<std::vector<AuditRecord>> After(uint64_t id, uint64_t last_id, size_t limit);

  ConnectionPool& pool_;
};

}  // namespace prov::store
