// Who did what, when, from where. Writes are audited by the write queue in their own transaction; here are
// the refused calls, and reading.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/subscriber.h"
#include "server/store/connection_pool.h"

namespace prov::store {

struct AuditRecord {
  uint64_t id = 0;
  model::Time time;
  std::string caller;
  std::string peer;
  std::string method;
  std::string resource;
  std::string request_id;
  uint64_t revision = 0;
  int code = 0;  // google.rpc.Code
  std::string before_json;
  std::string after_json;
};

// Thread-safe.
class AuditRepository {
 public:
  explicit AuditRepository(ConnectionPool& pool) : pool_(pool) {}

  // A call that is no write: one that was refused, or that acts elsewhere. Writes are audited by their queue.
  absl::Status Record(const AuditRecord& record);

  // Newest first, those before `before_id` (0: from the newest). `resource` empty: all.
  absl::StatusOr<std::vector<AuditRecord>> List(uint64_t before_id, const std::string& resource,
                                                size_t limit);

 private:
  ConnectionPool& pool_;
};

}  // namespace prov::store
