#include "agents/sync/session.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status.h"

namespace prov::sync {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr std::chrono::minutes kRemovalWindow(10);

void SetDuration(google::protobuf::Duration* out, milliseconds duration) {
  const int64_t millis = std::max<int64_t>(duration.count(), 0);
  out->set_seconds(millis / 1000);
  out->set_nanos(static_cast<int32_t>(millis % 1000 * 1000000));
}

void AddFailing(const state::Failing& failing, system_clock::time_point now, v1::Progress* progress) {
  progress->set_failing_items(failing.count);
  for (const auto& item : failing.items) {
    v1::FailingItem* out = progress->add_failing();
    out->set_key(item.key);
    out->set_revision(item.revision);
    out->set_error(item.error);
    out->set_attempts(item.attempts);
    if (!item.retry_at) continue;
    SetDuration(out->mutable_retry_in(), std::chrono::duration_cast<milliseconds>(*item.retry_at - now));
  }
}

// Without the times, which change by themselves.
std::string Comparable(v1::Progress progress) {
  for (v1::FailingItem& item : *progress.mutable_failing()) item.clear_retry_in();
  return progress.SerializeAsString();
}

}  // namespace

Session::Session(SessionOptions options, state::StateWriter& state, const Clock& clock)
    : options_(std::move(options)), state_(state), clock_(clock) {}

absl::StatusOr<v1::SyncRequest> Session::Hello() {
  PROV_ASSIGN_OR_RETURN(const state::Freshness freshness, state_.GetFreshness(options_.role));
  in_snapshot_ = false;
  const std::lock_guard lock(mutex_);
  nonce_ = 0;
  held_.clear();
  told_.clear();
  v1::SyncRequest request;
  v1::Hello* hello = request.mutable_hello();
  hello->set_role(options_.role);
  hello->set_cursor_revision(freshness.received_revision);
  hello->set_applied_revision(freshness.applied_revision);
  hello->set_agent_version(options_.agent_version);
  hello->mutable_endpoints()->insert(options_.endpoints.begin(), options_.endpoints.end());
  return request;
}

absl::Status Session::Take(const v1::SyncResponse& message) {
  switch (message.message_case()) {
    case v1::SyncResponse::kSnapshotBegin:
      PROV_RETURN_IF_ERROR(state_.BeginSnapshot(options_.role));
      in_snapshot_ = true;
      return absl::OkStatus();
    case v1::SyncResponse::kBatch:
      return TakeBatch(message.batch());
    case v1::SyncResponse::kSnapshotEnd:
      return TakeSnapshotEnd(message.snapshot_end());
    case v1::SyncResponse::kHeartbeat: {
      const auto& interval = message.heartbeat().interval();
      PROV_RETURN_IF_ERROR(Confirm(message.heartbeat().head_revision()));
      const std::lock_guard lock(mutex_);
      heartbeat_interval_ = milliseconds(interval.seconds() * 1000 + interval.nanos() / 1000000);
      return absl::OkStatus();
    }
    case v1::SyncResponse::kInspectionRequest: {
      const std::lock_guard lock(mutex_);
      // One that is under way, or done, is told of on every new stream.
      if (message.inspection_request().number() > inspection_.number()) {
        inspection_request_ = message.inspection_request();
      }
      return absl::OkStatus();
    }
    case v1::SyncResponse::MESSAGE_NOT_SET:
      return absl::OkStatus();  // of a newer provd; it may not rely on it
  }
  return absl::OkStatus();
}

absl::Status Session::TakeBatch(const v1::Batch& batch) {
  if (in_snapshot_) {
    PROV_RETURN_IF_ERROR(state_.ApplySnapshotBatch(options_.role, batch));
  } else {
    PROV_RETURN_IF_ERROR(WithLimit(
        [&](const state::RemovalLimit& limit) { return state_.ApplyBatch(options_.role, batch, limit); }));
  }
  PROV_RETURN_IF_ERROR(Confirm(batch.head_revision()));
  Acknowledge(batch.nonce());
  return absl::OkStatus();
}

absl::Status Session::TakeSnapshotEnd(const v1::SnapshotEnd& end) {
  if (!in_snapshot_) return absl::FailedPreconditionError("the end of a snapshot that was not begun");
  PROV_RETURN_IF_ERROR(WithLimit([&](const state::RemovalLimit& limit) {
    return state_.EndSnapshot(options_.role, end.revision(), limit);
  }));
  in_snapshot_ = false;
  Acknowledge(end.nonce());
  return absl::OkStatus();
}

absl::Status Session::Confirm(uint64_t head_revision) {
  if (head_revision == 0) return absl::OkStatus();
  return state_.ConfirmHead(options_.role, head_revision, clock_.Now());
}

void Session::Acknowledge(uint64_t nonce) {
  const std::lock_guard lock(mutex_);
  nonce_ = nonce;
  held_.clear();
}

state::RemovalLimit Session::LimitNow() {
  const auto now = clock_.Monotonic();
  if (!window_start_ || now - *window_start_ > kRemovalWindow) {
    window_start_ = now;
    removed_before_ = state_.RemovedRecords(options_.role);
  }
  state::RemovalLimit limit;
  limit.earlier = state_.RemovedRecords(options_.role) - removed_before_;
  return limit;
}

absl::Status Session::WithLimit(const std::function<absl::Status(const state::RemovalLimit&)>& edit) {
  state::RemovalLimit limit = LimitNow();
  absl::Status status = edit(limit);
  if (ReasonOf(status) != state::kTooManyRemovals) return status;
  limit.allowed = options_.allowed_removals ? options_.allowed_removals() : 0;
  if (limit.allowed > 0) status = edit(limit);
  if (ReasonOf(status) != state::kTooManyRemovals) return status;
  const std::lock_guard lock(mutex_);
  held_ = std::string(MessageOf(status));
  return status;
}

absl::StatusOr<std::optional<v1::SyncRequest>> Session::Report() {
  v1::SyncRequest request;
  v1::Progress* progress = request.mutable_progress();
  std::vector<state::Failing::Item> first;
  {
    // Before the state is read, so that what the nonce answers is in it.
    const std::lock_guard lock(mutex_);
    progress->set_nonce(nonce_);
    progress->set_observed_revision(observed_);
    if (sessions_) progress->set_sessions(*sessions_);
    progress->set_ready(ready_);
    if (inspection_.has_begin_time()) *progress->mutable_inspection() = inspection_;
    if (!held_.empty()) first.push_back({std::string(kHeldItem), 0, held_, {}});
    for (const drivers::Unfinished& thing : unfinished_) {
      if (thing.error.empty()) continue;
      const auto retry_in = std::chrono::duration_cast<milliseconds>(thing.retry_at - clock_.Monotonic());
      first.push_back({thing.file, 0, thing.error, clock_.Now() + retry_in});
    }
  }
  PROV_ASSIGN_OR_RETURN(const state::Freshness freshness, state_.GetFreshness(options_.role));
  progress->set_received_revision(freshness.received_revision);
  progress->set_applied_revision(freshness.applied_revision);
  if (freshness.received_revision == 0 && !options_.notice.empty()) {
    first.push_back({.key = std::string(kNoticeItem), .error = options_.notice});
  }
  PROV_ASSIGN_OR_RETURN(state::Failing failing,
                        state_.GetFailing(options_.role, kMostFailingTold - first.size()));
  failing.count += first.size();
  failing.items.insert(failing.items.begin(), first.begin(), first.end());
  AddFailing(failing, clock_.Now(), progress);
  std::string comparable = Comparable(*progress);
  const std::lock_guard lock(mutex_);
  if (comparable == told_) return std::nullopt;
  told_ = std::move(comparable);
  return request;
}

void Session::SetObserved(uint64_t revision) {
  const std::lock_guard lock(mutex_);
  observed_ = revision;
}

void Session::SetServing(std::optional<uint64_t> sessions, bool ready) {
  const std::lock_guard lock(mutex_);
  sessions_ = sessions;
  ready_ = ready;
}

void Session::SetUnfinished(std::vector<drivers::Unfinished> unfinished) {
  const std::lock_guard lock(mutex_);
  unfinished_ = std::move(unfinished);
}

void Session::SetInspection(const v1::Inspection& inspection) {
  const std::lock_guard lock(mutex_);
  inspection_ = inspection;
}

std::optional<v1::InspectionRequest> Session::TakeInspectionRequest() {
  const std::lock_guard lock(mutex_);
  return std::exchange(inspection_request_, std::nullopt);
}

milliseconds Session::heartbeat_interval() const {
  const std::lock_guard lock(mutex_);
  return heartbeat_interval_;
}

}  // namespace prov::sync
