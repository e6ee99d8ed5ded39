// Moves of mailboxes between store pools.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/mailbox_move.h"
#include "server/store/connection_pool.h"
#include "server/store/write_queue.h"

namespace prov::store {

// Thread-safe.
class MailboxMoveRepository {
 public:
  explicit MailboxMoveRepository(ConnectionPool& pool) : pool_(pool) {}

  // NOT_FOUND on `name`.
  absl::StatusOr<model::MailboxMove> Get(int64_t id);
  // Newest first, those before `before_id`; 0: from the newest.
  absl::StatusOr<std::vector<model::MailboxMove>> List(int64_t before_id, bool open_only, size_t limit);
  // How far hosts are with an open move; no write in the sense of I2, for nobody follows it. Returns the move
  // as it is now. FAILED_PRECONDITION unless `host` is in the pool that the mailbox moves to.
  absl::StatusOr<model::MailboxMove> RecordProgress(int64_t id, const std::string& host,
                                                    int64_t octets_copied, int64_t octets_total,
                                                    const std::string& error);

  // Within a write.
  static absl::StatusOr<model::MailboxMove> Find(WriteTransaction& write, int64_t id);
  static absl::StatusOr<std::optional<model::MailboxMove>> FindOpen(WriteTransaction& write,
                                                                    int64_t subscriber_id);
  static absl::StatusOr<model::MailboxMove> Insert(WriteTransaction& write, const model::MailboxMove& move);
  // Writes the state, and what follows from it for the subscriber: with kSwitching the mailbox is on the new
  // pool, with kDone it is there alone. `move` is as it was found.
  static absl::StatusOr<model::MailboxMove> SetState(WriteTransaction& write, const model::MailboxMove& move,
                                                     model::MoveState state);

 private:
  ConnectionPool& pool_;
};

}  // namespace prov::store
