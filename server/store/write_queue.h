// Writes by group commit: calls that arrive together share one transaction, and each gets a revision of its
// own.
//
// docs/decisions/0002-group-commit.md says why. Revisions are gapless and in the order of visibility (I2):
// the revision row is locked for the whole batch, in every provd on the same database. A call that fails is
// undone, and its neighbours do not notice: the batch is done again with a savepoint before each call, which
// costs so much that it is only done then.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <pqxx/dbtransaction>
#include <pqxx/transaction_base>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/audit_chain.h"
#include "server/store/connection_pool.h"
#include "server/store/read_snapshot.h"

namespace prov::store {

// A statement that is prepared once for each connection.
struct Statement {
  const char* name;  // unique
  const char* sql;
};

// Who wants the write, for audit and replay.
struct WriteContext {
  std::string caller;       // "helpdesk/mary"
  std::string peer;         // as gRPC names it
  std::string method;       // "/prov.v1.Subscribers/CreateSubscriber"
  std::string request_id;   // empty: not remembered
  std::string fingerprint;  // keyed hash of method and request; see RequestFingerprint
  bool validate_only = false;
  std::chrono::system_clock::time_point deadline = std::chrono::system_clock::time_point::max();
};

// What became of one resource, for the audit.
struct AuditEntry {
  std::string resource;     // "subscribers/1042"
  std::string before_json;  // without secrets; empty: there was nothing
  std::string after_json;
};

struct WriteResult {
  // One for each resource that changed: an import has many. A write without any is audited all the same.
  std::vector<AuditEntry> audit;
  std::string response;   // serialised answer, given again to a replay
  uint64_t revision = 0;  // 0 when nothing changed, or with validate_only
  bool replayed = false;  // `response` is that of an earlier call
};

// What a write's body works with. Used on the queue's thread only.
class WriteTransaction {
 public:
  WriteTransaction(pqxx::transaction_base& sql, std::set<std::string>& prepared, uint64_t revision,
                   std::string_view caller = {})
      : sql_(sql), prepared_(prepared), revision_(revision), caller_(caller) {}

  // Whose write it is: "helpdesk/mary". Lives as long as the call.
  std::string_view caller() const { return caller_; }

  // The revision this write gets if it changes anything.
  uint64_t revision() const { return revision_; }

  // Tells followers that the aggregate changed. A write without any has no revision.
  void AddChange(AggregateKind kind, const std::string& key, bool removed = false) {
    changes_.push_back({revision_, kind, key, removed});
  }
  const std::vector<Change>& changes() const { return changes_; }

  // Throws what libpqxx throws; the queue translates it.
  template <typename... Arguments>
  pqxx::result Execute(const Statement& statement, Arguments&&... arguments) {
    if (prepared_.insert(statement.name).second) Prepare(statement);
    if (!Reads(statement)) must_be_undone_ = true;
    executing_ = true;
    pqxx::result result = sql_.exec_prepared(statement.name, std::forward<Arguments>(arguments)...);
    executing_ = false;
    return result;
  }

  // Something was written, or a statement failed, so that not to go on is not enough.
  bool must_be_undone() const { return must_be_undone_ || executing_; }

 private:
  void Prepare(const Statement& statement);
  // A plain SELECT; what begins with WITH may write.
  static bool Reads(const Statement& statement);

  pqxx::transaction_base& sql_;
  std::set<std::string>& prepared_;
  const uint64_t revision_;
  const std::string_view caller_;
  std::vector<Change> changes_;
  bool must_be_undone_ = false;
  bool executing_ = false;
};

// Does the work; an error undoes it. Must not block on anything but the database. May be called twice, when
// the batch has to be done again; what the first one did is undone.
using WriteBody = std::function<absl::StatusOr<WriteResult>(WriteTransaction&)>;

// Thread-safe.
class WriteQueue {
 public:
  explicit WriteQueue(ConnectionPool& pool);
  // Finishes what is queued.
  ~WriteQueue();

  // Blocks until the write is durable, or failed. UNAVAILABLE: the database is away, or the commit's outcome
  // is unknown (the same request id is safe to send again). DEADLINE_EXCEEDED: its turn came too late;
  // nothing happened.
  absl::StatusOr<WriteResult> Run(WriteContext context, WriteBody body);

 private:
  struct Call;
  void Loop();
  void RunBatch(std::vector<std::shared_ptr<Call>>& batch);
  void RunConnected(std::vector<std::shared_ptr<Call>>& batch);
  enum class Undoing { kAll, kSingle };
  // False: a call is to be undone by itself, and with kAll cannot be. Nothing was committed.
  bool RunTransaction(const std::vector<std::shared_ptr<Call>>& batch, Undoing undoing);
  absl::StatusOr<WriteResult> RunCall(WriteTransaction& transaction, const Call& call);
  void Commit(pqxx::dbtransaction& work, WriteTransaction& control, AuditHead head, uint64_t revision);
  void ForgetOldRequests();

  void Audit(const WriteContext& context, const WriteResult& result);

  // What a request id was first used for.
  struct FirstCall {
    std::string fingerprint;
    WriteResult result;
  };
  void FindRequests(WriteTransaction& control, const std::vector<std::shared_ptr<Call>>& batch);
  void Remember(const std::pair<std::string, std::string>& caller_and_id, FirstCall first);

  ConnectionPool& pool_;
  std::unique_ptr<pqxx::connection> connection_;                       // the thread's own
  std::set<std::string> prepared_;                                     // on that connection
  std::map<std::pair<std::string, std::string>, FirstCall> requests_;  // of the batch's ids that were used
  std::vector<AuditRecord> audit_;                                     // of the batch, not chained yet
  std::vector<Change> changes_;                                        // of the batch, not written yet
  std::vector<std::shared_ptr<Call>> answered_;                        // whose answers are to be remembered
  int careful_batches_ = 0;  // so many that come are done with savepoints at once
  std::chrono::steady_clock::time_point requests_forgotten_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Call>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace prov::store
