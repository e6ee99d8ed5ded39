#include "server/store/write_queue.h"

#include <future>
#include <nlohmann/json.hpp>
#include <pqxx/pqxx>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

constexpr size_t kMostInBatch = 64;
constexpr size_t kMostQueued = 4096;
constexpr std::chrono::minutes kForgetInterval(10);

constexpr Statement kLockRevision = {"lock_revision", "SELECT value FROM prov.revision FOR UPDATE"};
constexpr Statement kSetRevision = {"set_revision",
                                    "WITH moved AS (UPDATE prov.revision SET value = $1 RETURNING value) "
                                    "SELECT pg_notify('prov_revision', value::text) FROM moved"};
// Of a whole batch, in one round trip.
constexpr Statement kFindRequests = {"find_requests", R"(
SELECT r.caller, r.request_id, r.fingerprint, r.response, r.revision
FROM jsonb_to_recordset($1::jsonb) AS wanted(caller text, request_id text),
  LATERAL (SELECT * FROM prov.request WHERE caller = wanted.caller AND request_id = wanted.request_id OFFSET 0) AS r)"};
// Change records, audit record and remembered answer of one write, in one round trip.
constexpr Statement kRecordWrite = {"record_write", R"(
WITH changed AS (
  INSERT INTO prov.change (revision, kind, key, removed)
  SELECT $1, c.kind, c.key, c.removed FROM jsonb_to_recordset($2::jsonb) AS c(kind smallint, key text, removed boolean)
), audited AS (
  INSERT INTO prov.audit (caller, peer, method, resource, request_id, revision, code, before, after)
  VALUES ($3, $4, $5, $6, $7, $1, 0, NULLIF($8, '')::jsonb, NULLIF($9, '')::jsonb)
)
INSERT INTO prov.request (caller, request_id, fingerprint, response, revision)
SELECT $3, $7, $10, $11, $1 WHERE $7 <> '')"};

std::string ChangesJson(const std::vector<Change>& changes) {
  auto list = nlohmann::json::array();
  for (const Change& change : changes) {
    list.push_back(
        {{"kind", static_cast<int>(change.kind)}, {"key", change.key}, {"removed", change.removed}});
  }
  return list.dump();
}

pqxx::binarystring Binary(const std::string& octets) {
  return pqxx::binarystring(octets.data(), octets.size());
}

}  // namespace

struct WriteQueue::Call {
  WriteContext context;
  WriteBody body;
  std::promise<absl::StatusOr<WriteResult>> answer;
  // Of a call that succeeded, until the batch is committed.
  absl::StatusOr<WriteResult> outcome = absl::UnavailableError("not run");
};

void WriteTransaction::Prepare(const Statement& statement) {
  sql_.conn().prepare(statement.name, statement.sql);
}

WriteQueue::WriteQueue(ConnectionPool& pool) : pool_(pool), thread_([this] { Loop(); }) {}

WriteQueue::~WriteQueue() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

absl::StatusOr<WriteResult> WriteQueue::Run(WriteContext context, WriteBody body) {
  auto call = std::make_shared<Call>();
  call->context = std::move(context);
  call->body = std::move(body);
  auto answer = call->answer.get_future();
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return absl::UnavailableError("provd is stopping");
    if (queue_.size() >= kMostQueued)
      return absl::ResourceExhaustedError("too many writes are waiting; try again later");
    queue_.push_back(std::move(call));
  }
  wake_.notify_one();
  return answer.get();
}

void WriteQueue::Loop() {
  for (;;) {
    std::vector<std::shared_ptr<Call>> batch;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      while (!queue_.empty() && batch.size() < kMostInBatch) {
        batch.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    RunBatch(batch);
    for (const auto& call : batch) call->answer.set_value(std::move(call->outcome));
    ForgetOldRequests();
  }
}

void WriteQueue::RunBatch(std::vector<std::shared_ptr<Call>>& batch) {
  const auto now = std::chrono::system_clock::now();
  std::vector<std::shared_ptr<Call>> timely;
  for (auto& call : batch) {
    if (call->context.deadline < now) {
      call->outcome =
          absl::DeadlineExceededError("the write's turn came after its deadline; nothing happened");
    } else {
      timely.push_back(call);
    }
  }
  if (timely.empty()) return;
  const absl::Status status = Guarded("write", [&] {
    if (!connection_ || !connection_->is_open()) {
      prepared_.clear();
      connection_ = pool_.Connect();
      // A plan that was made while a table was empty must not scan it when it is full. The penalty for a scan
      // is high enough to have small plans compiled, which takes longer than they do.
      pqxx::nontransaction(*connection_).exec("SET enable_seqscan = off; SET jit = off");
    }
    RunConnected(timely);
    return absl::OkStatus();
  });
  if (status.ok()) return;
  connection_.reset();
  // Calls that failed by themselves keep their own error.
  for (auto& call : timely) {
    if (call->outcome.ok() || absl::IsUnavailable(call->outcome.status())) call->outcome = status;
  }
}

void WriteQueue::RunConnected(std::vector<std::shared_ptr<Call>>& batch) {
  pqxx::work work(*connection_);
  WriteTransaction control(work, prepared_, 0);
  const auto before = control.Execute(kLockRevision)[0][0].as<uint64_t>();
  FindRequests(control, batch);
  uint64_t revision = before;
  bool anything = false;
  for (auto& call : batch) {
    work.exec(call == batch.front() ? "SAVEPOINT call" : "RELEASE SAVEPOINT call; SAVEPOINT call");
    call->outcome = Guarded(call->context.method, [&] { return RunCall(work, *call, revision + 1); });
    if (!connection_->is_open()) throw pqxx::broken_connection("lost while writing");
    if (!call->outcome.ok() || call->context.validate_only) {
      work.exec("ROLLBACK TO SAVEPOINT call");
      if (call->outcome.ok()) call->outcome->revision = 0;
    } else if (!call->outcome->replayed) {
      anything = true;
      if (call->outcome->revision != 0) ++revision;
    }
  }
  if (!anything) return;  // nothing to commit: the destructor rolls back
  if (revision != before) control.Execute(kSetRevision, revision);
  work.commit();
}

absl::StatusOr<WriteResult> WriteQueue::RunCall(pqxx::transaction_base& sql, const Call& call,
                                                uint64_t revision) {
  const WriteContext& context = call.context;
  WriteTransaction transaction(sql, prepared_, revision, context.caller);
  const std::pair request(context.caller, context.request_id);
  if (const auto first = requests_.find(request); first != requests_.end()) {
    if (first->second.fingerprint == context.fingerprint) return first->second.result;
    return FieldError(absl::StatusCode::kInvalidArgument, "request_id", "REQUEST_ID_REUSED",
                      "was used for another request; use a new one for each request");
  }
  PROV_ASSIGN_OR_RETURN(WriteResult result, call.body(transaction));
  result.revision = transaction.changes().empty() ? 0 : revision;
  if (context.validate_only) return result;
  transaction.Execute(kRecordWrite, result.revision, ChangesJson(transaction.changes()), context.caller,
                      context.peer, context.method, result.resource, context.request_id, result.before_json,
                      result.after_json, Binary(context.fingerprint), Binary(result.response));
  if (!context.request_id.empty()) Remember(request, {context.fingerprint, result});
  return result;
}

// Asked once the revision is locked, for from then on nobody else adds any.
void WriteQueue::FindRequests(WriteTransaction& control, const std::vector<std::shared_ptr<Call>>& batch) {
  requests_.clear();
  auto wanted = nlohmann::json::array();
  for (const auto& call : batch) {
    if (call->context.request_id.empty()) continue;
    wanted.push_back({{"caller", call->context.caller}, {"request_id", call->context.request_id}});
  }
  if (wanted.empty()) return;
  for (const auto& row : control.Execute(kFindRequests, wanted.dump())) {
    WriteResult first;
    first.response = pqxx::binarystring(row[3]).str();
    first.revision = row[4].as<uint64_t>();
    Remember({row[0].as<std::string>(), row[1].as<std::string>()},
             {pqxx::binarystring(row[2]).str(), std::move(first)});
  }
}

void WriteQueue::Remember(const std::pair<std::string, std::string>& caller_and_id, FirstCall first) {
  first.result.replayed = true;
  requests_.insert_or_assign(caller_and_id, std::move(first));
}

void WriteQueue::ForgetOldRequests() {
  const auto now = std::chrono::steady_clock::now();
  if (now - requests_forgotten_ < kForgetInterval || !connection_) return;
  requests_forgotten_ = now;
  const absl::Status status = Guarded("forget old requests", [&] {
    pqxx::work work(*connection_);
    work.exec("DELETE FROM prov.request WHERE create_time < now() - interval '1 day'");
    work.commit();
    return absl::OkStatus();
  });
  if (!status.ok()) connection_.reset();
}

}  // namespace prov::store
