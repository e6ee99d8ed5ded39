#include "server/store/write_queue.h"

#include <future>
#include <nlohmann/json.hpp>
#include <pqxx/pqxx>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "server/store/audit_rows.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

constexpr size_t kMostInBatch = 64;
constexpr size_t kMostQueued = 4096;
constexpr std::chrono::minutes kForgetInterval(10);

// A provd that is frozen in mid-transaction has the revision locked, and every other one would wait for it.
constexpr char kEndWhenFrozen[] = "SET idle_in_transaction_session_timeout = '5s'";
// The revision before the audit's head, in every provd: those who write, and those who only audit.
constexpr Statement kLockHeads = {
    "lock_heads", "SELECT r.value, h.id, h.hash FROM prov.revision r, prov.audit_head h FOR UPDATE"};
// The batch's changes, remembered answers and audit records, both heads, and the news of it, in one round
// trip.
const std::string kFinishBatchText =
    "WITH moved AS (UPDATE prov.revision SET value = $15::bigint WHERE value <> $15::bigint RETURNING "
    "value), " +
    std::string(kAppendAudit) + R"(,
changed AS (
  INSERT INTO prov.change (revision, kind, key, removed)
  SELECT * FROM jsonb_to_recordset($16::jsonb) AS c(revision bigint, kind smallint, key text, removed boolean)
  ON CONFLICT DO NOTHING
),
answered AS (
  INSERT INTO prov.request (caller, request_id, fingerprint, response, revision)
  SELECT caller, request_id, decode(fingerprint, 'hex'), decode(response, 'hex'), revision FROM jsonb_to_recordset($17::jsonb)
    AS r(caller text, request_id text, fingerprint text, response text, revision bigint)
)
SELECT pg_notify('prov_revision', value::text) FROM moved)";
const Statement kFinishBatch = {"finish_batch", kFinishBatchText.c_str()};
// Of a whole batch, in one round trip.
constexpr Statement kFindRequests = {"find_requests", R"(
SELECT r.caller, r.request_id, r.fingerprint, r.response, r.revision
FROM jsonb_to_recordset($1::jsonb) AS wanted(caller text, request_id text),
  LATERAL (SELECT * FROM prov.request WHERE caller = wanted.caller AND request_id = wanted.request_id OFFSET 0) AS r)"};
// How many batches after a call that had to be undone are expected to have such calls, too.
constexpr int kCarefulBatches = 16;

std::string ChangesJson(const std::vector<Change>& changes) {
  auto list = nlohmann::json::array();
  for (const Change& change : changes) {
    list.push_back({{"revision", change.revision},
                    {"kind", static_cast<int>(change.kind)},
                    {"key", change.key},
                    {"removed", change.removed}});
  }
  return list.dump();
}

AuditRecord RecordOf(const WriteContext& context, uint64_t revision) {
  AuditRecord record;
  record.time = std::chrono::system_clock::now();
  record.caller = context.caller;
  record.peer = context.peer;
  record.method = context.method;
  record.request_id = context.request_id;
  record.revision = revision;
  return record;
}

}  // namespace

struct WriteQueue::Call {
  WriteContext context;
  WriteBody body;
  std::promise<absl::StatusOr<WriteResult>> answer;
  // Of a call that succeeded, until the batch is committed.
  absl::StatusOr<WriteResult> outcome = absl::UnavailableError("not run");
};

bool WriteTransaction::Reads(const Statement& statement) {
  std::string_view sql = statement.sql;
  sql.remove_prefix(std::min(sql.find_first_not_of(" \n"), sql.size()));
  return sql.starts_with("SELECT");
}

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
      pqxx::nontransaction(*connection_).exec(kEndWhenFrozen);
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
  if (careful_batches_ > 0) {
    --careful_batches_;
  } else if (RunTransaction(batch, Undoing::kAll)) {
    return;
  } else {
    careful_batches_ = kCarefulBatches;
  }
  RunTransaction(batch, Undoing::kSingle);
}

bool WriteQueue::RunTransaction(const std::vector<std::shared_ptr<Call>>& batch, Undoing undoing) {
  pqxx::work work(*connection_);
  WriteTransaction control(work, prepared_, 0);
  const pqxx::result heads = control.Execute(kLockHeads);
  uint64_t revision = heads[0][0].as<uint64_t>();
  AuditHead audit_head{heads[0][1].as<uint64_t>(), pqxx::binarystring(heads[0][2]).str()};
  audit_.clear();
  changes_.clear();
  answered_.clear();
  FindRequests(control, batch);
  for (const auto& call : batch) {
    if (undoing == Undoing::kSingle)
      work.exec(call == batch.front() ? "SAVEPOINT call" : "RELEASE SAVEPOINT call; SAVEPOINT call");
    WriteTransaction transaction(work, prepared_, revision + 1, call->context.caller);
    call->outcome = Guarded(call->context.method, [&] { return RunCall(transaction, *call); });
    if (!connection_->is_open()) throw pqxx::broken_connection("lost while writing");
    if (!call->outcome.ok() || call->context.validate_only) {
      if (call->outcome.ok()) call->outcome->revision = 0;
      if (!transaction.must_be_undone()) continue;
      if (undoing == Undoing::kAll) return batch.size() == 1;  // the destructor rolls back
      work.exec("ROLLBACK TO SAVEPOINT call");
    } else if (!call->outcome->replayed) {
      Audit(call->context, *call->outcome);
      changes_.insert(changes_.end(), transaction.changes().begin(), transaction.changes().end());
      if (!call->context.request_id.empty()) answered_.push_back(call);
      if (call->outcome->revision != 0) ++revision;
    }
  }
  if (!audit_.empty()) Commit(work, control, std::move(audit_head), revision);
  return true;
}

void WriteQueue::Commit(pqxx::dbtransaction& work, WriteTransaction& control, AuditHead head,
                        uint64_t revision) {
  Chain(head, audit_);
  std::vector<std::string> parameters = AppendParameters(head, audit_);
  parameters.push_back(std::to_string(revision));
  parameters.push_back(ChangesJson(changes_));
  auto answers = nlohmann::json::array();
  for (const auto& call : answered_) {
    answers.push_back({{"caller", call->context.caller},
                       {"request_id", call->context.request_id},
                       {"fingerprint", HexOf(call->context.fingerprint)},
                       {"response", HexOf(call->outcome->response)},
                       {"revision", call->outcome->revision}});
  }
  parameters.push_back(answers.dump());
  control.Execute(kFinishBatch, pqxx::prepare::make_dynamic_params(parameters));
  work.commit();
}

void WriteQueue::Audit(const WriteContext& context, const WriteResult& result) {
  const AuditRecord common = RecordOf(context, result.revision);
  if (result.audit.empty()) audit_.push_back(common);
  for (const AuditEntry& entry : result.audit) {
    audit_.push_back(common);
    audit_.back().resource = entry.resource;
    audit_.back().before_json = entry.before_json;
    audit_.back().after_json = entry.after_json;
  }
}

absl::StatusOr<WriteResult> WriteQueue::RunCall(WriteTransaction& transaction, const Call& call) {
  const WriteContext& context = call.context;
  const std::pair request(context.caller, context.request_id);
  if (const auto first = requests_.find(request); first != requests_.end()) {
    if (first->second.fingerprint == context.fingerprint) return first->second.result;
    return FieldError(absl::StatusCode::kInvalidArgument, "request_id", "REQUEST_ID_REUSED",
                      "was used for another request; use a new one for each request");
  }
  PROV_ASSIGN_OR_RETURN(WriteResult result, call.body(transaction));
  result.revision = transaction.changes().empty() ? 0 : transaction.revision();
  if (context.validate_only) return result;
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
