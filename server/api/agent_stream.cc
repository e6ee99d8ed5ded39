#include "server/api/agent_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "server/api/agent_hello.h"
#include "server/api/agent_stream_limits.h"
#include "server/feed/view.h"

namespace prov::api {
namespace {

// Steps of the feed that yield no message, before another stream gets its turn.
constexpr int kStepsPerTurn = 8;
constexpr std::string_view kIdentityItem = "identity";

v1::SyncResponse HeartbeatAt(uint64_t head_revision) {
  v1::SyncResponse response;
  response.mutable_heartbeat()->set_head_revision(head_revision);
  response.mutable_heartbeat()->mutable_interval()->set_seconds(kHeartbeatInterval.count());
  return response;
}

}  // namespace

AgentStream::AgentStream(grpc::CallbackServerContext* context, const Parts& parts, std::string host,
                         std::string instance)
    : StreamReactor(context, *parts.workers),
      parts_(parts),
      host_(std::move(host)),
      instance_(std::move(instance)) {}

void AgentStream::Listen() {
  const std::lock_guard lock(mutex_);
  workers_.PostAfter(kHelloPatience, [weak = weak_from_this()] {
    const auto stream = std::static_pointer_cast<AgentStream>(weak.lock());
    if (stream == nullptr) return;
    const std::lock_guard lock(stream->mutex_);
    if (!stream->hello_taken_) stream->EndLocked(absl::DeadlineExceededError("no Hello came"));
  });
  StartRead(&request_);
}

void AgentStream::OnReadDone(bool ok) {
  const std::lock_guard lock(mutex_);
  if (ending()) return;
  if (!ok) return EndLocked(absl::OkStatus());  // the agent has closed its side
  if (request_.ByteSizeLong() > kMaxRequestOctets) {
    return EndLocked(
        absl::ResourceExhaustedError(fmt::format("a message of more than {} octets", kMaxRequestOctets)));
  }
  if (request_.has_hello() && !hello_taken_) {
    hello_taken_ = true;
    workers_.Post([self = Self(), hello = request_.hello()] { self->Greet(hello); });
    return;  // reads on when greeted
  }
  if (!request_.has_progress() || !greeted_) {
    return EndLocked(absl::InvalidArgumentError("a stream is one Hello, then Progress"));
  }
  const absl::Status status = TakeProgress(request_.progress());
  if (!status.ok()) {
    Log(Level::kError, "agent_refused",
        {{"host", host_}, {"role", model::RoleName(role_)}, {"error", status}});
    return EndLocked(status);
  }
  Pump();
  if (!ending()) StartRead(&request_);
}

void AgentStream::OnEnding() {
  parts_.convergence->Disconnected(connection_);
  if (!greeted_) return;
  reported_.connected = false;
  workers_.Post([self = Self()] { self->Persist(); });
}

void AgentStream::Greet(const v1::Hello& hello) {
  const absl::Status status = TryGreet(hello);
  if (status.ok()) return;
  Log(Level::kWarning, "agent_refused", {{"host", host_}, {"error", status}});
  if (absl::IsPermissionDenied(status) && parts_.on_denied) parts_.on_denied(status);
  End(status);
}

absl::Status AgentStream::TryGreet(const v1::Hello& hello) {
  PROV_RETURN_IF_ERROR(CheckHello(hello));
  role_ = *feed::FromProto(hello.role());
  PROV_ASSIGN_OR_RETURN(std::unique_ptr<feed::FeedStream> stream,
                        parts_.feed->Open(host_, role_, hello.cursor_revision()));
  PROV_RETURN_IF_ERROR(parts_.owner->Claim(*this));
  parts_.owner->Replace(Self());
  PROV_RETURN_IF_ERROR(parts_.progress->SetEndpoints(host_, EndpointsOf(hello)));
  PROV_ASSIGN_OR_RETURN(const uint64_t answered, AnsweredInspection());

  const std::lock_guard lock(mutex_);
  if (ending()) return absl::OkStatus();
  // A cursor that the database has not reached says nothing of this database.
  sent_revision_ = hello.cursor_revision() <= stream->head_revision() ? hello.cursor_revision() : 0;
  in_snapshot_ = stream->in_snapshot() || sent_revision_ != hello.cursor_revision();
  before_snapshot_ = sent_revision_;
  feed_ = std::move(stream);
  answered_inspection_ = asked_inspection_ = answered;
  reported_.host = host_;
  reported_.role = role_;
  reported_.connected = true;
  reported_.received_revision = sent_revision_;
  reported_.applied_revision = std::min(hello.applied_revision(), sent_revision_);
  reported_.agent_version = hello.agent_version();
  connection_ =
      parts_.convergence->Connected(host_, role_, reported_.received_revision, reported_.applied_revision);
  Log(Level::kInfo, "agent_connected",
      {{"host", host_},
       {"role", model::RoleName(role_)},
       {"cursor", hello.cursor_revision()},
       {"version", hello.agent_version()}});
  greeted_ = wanted_ = true;
  PersistSoon();
  StartRead(&request_);
  Pump();
  return absl::OkStatus();
}

void AgentStream::NoteHead(uint64_t head_revision) {
  const std::lock_guard lock(mutex_);
  head_ = std::max(head_, head_revision);
  WantRound();
}

void AgentStream::WantRound() {
  if (head_ <= sent_revision_ || wanted_ || round_scheduled_) return;
  const auto now = parts_.clock->Monotonic();
  if (now >= next_round_) {
    next_round_ = now + kRoundInterval;
    wanted_ = true;
    return Pump();
  }
  round_scheduled_ = true;
  const auto pause = std::chrono::duration_cast<std::chrono::milliseconds>(next_round_ - now);
  workers_.PostAfter(pause + std::chrono::milliseconds(1), [self = Self()] {
    const std::lock_guard lock(self->mutex_);
    self->round_scheduled_ = false;
    if (!self->ending()) self->WantRound();
  });
}

void AgentStream::Heartbeat(uint64_t head_revision) {
  const std::lock_guard lock(mutex_);
  if (!greeted_ || !CanWrite() || producing_) return;
  Write(HeartbeatAt(std::max(head_revision, sent_revision_)));
}

absl::StatusOr<uint64_t> AgentStream::AnsweredInspection() {
  PROV_ASSIGN_OR_RETURN(const auto all, parts_.progress->ForHost(host_));
  for (const store::HostProgress& one : all) {
    if (one.role == role_ && one.inspection && one.inspection->end) return one.inspection->number;
  }
  return 0;
}

void AgentStream::NoteInspection(const model::Host& host) {
  if (host.inspection <= asked_inspection_) return;
  asked_inspection_ = host.inspection;
  inspection_request_.emplace();
  inspection_request_->set_number(host.inspection);
  inspection_request_->set_repair(host.inspection_repairs);
}

void AgentStream::Pump() {
  if (!greeted_ || producing_ || !CanWrite()) return;
  if (inspection_request_) {
    v1::SyncResponse response;
    *response.mutable_inspection_request() = *std::exchange(inspection_request_, std::nullopt);
    return Write(std::move(response));
  }
  if (!wanted_) return;
  if (sent_nonce_ - acknowledged_nonce_ >= kMaxUnacknowledgedBatches) return;
  producing_ = true;
  wanted_ = false;
  workers_.Post([self = Self()] { self->Produce(); });
}

void AgentStream::Produce() {
  absl::StatusOr<feed::FeedStream::Step> step = feed_->Next();
  for (int i = 1; i < kStepsPerTurn && step.ok() && !step->message.has_value() && step->more; ++i) {
    step = feed_->Next();
  }
  const std::lock_guard lock(mutex_);
  if (!ending() && IsRetryable(step.status())) {
    // The database is away: whoever is connected stays so, and hears no heartbeat meanwhile.
    Log(Level::kDebug, "agent_stream_waits", {{"host", host_}, {"error", step.status()}});
    workers_.PostAfter(kDatabaseRetry, [self = Self()] { self->Produce(); });
    return;
  }
  producing_ = false;
  if (ending()) return;
  if (!step.ok()) {
    Log(Level::kWarning, "agent_stream_failed",
        {{"host", host_}, {"role", model::RoleName(role_)}, {"error", step.status()}});
    return EndLocked(step.status());
  }
  wanted_ = wanted_ || step->more;
  NoteInspection(feed_->host());
  const bool was_in_snapshot = in_snapshot_;
  in_snapshot_ = feed_->in_snapshot();
  if (!was_in_snapshot && in_snapshot_) before_snapshot_ = sent_revision_;
  sent_nonce_ = feed_->last_nonce();
  if (was_in_snapshot && !in_snapshot_) snapshot_nonce_ = sent_nonce_;
  if (!in_snapshot_) sent_revision_ = feed_->sent_revision();
  if (step->message.has_value()) {
    if (step->message->has_batch()) {
      v1::Batch* batch = step->message->mutable_batch();
      batch->set_head_revision(std::max(batch->head_revision(), head_));
    }
    Write(*std::move(step->message));  // first: from here on nothing more is produced until it is done
  } else if (!step->more && !told_all_) {
    told_all_ = true;
    Write(HeartbeatAt(std::max(feed_->head_revision(), sent_revision_)));
  }
  WantRound();
  Pump();
}

absl::Status AgentStream::TakeProgress(const v1::Progress& progress) {
  PROV_RETURN_IF_ERROR(CheckProgress(progress));
  if (progress.nonce() > sent_nonce_) {
    return InvalidField("progress.nonce",
                        fmt::format("{} was not sent, only {}", progress.nonce(), sent_nonce_));
  }
  acknowledged_nonce_ = std::max(acknowledged_nonce_, progress.nonce());
  // Until it has taken in the whole snapshot, an agent may go on telling of the state that the snapshot is to
  // replace; that counts for nothing.
  const bool outdated = in_snapshot_ || acknowledged_nonce_ < snapshot_nonce_;
  const uint64_t most = outdated ? before_snapshot_ : sent_revision_;
  for (const auto& [field, claimed] : {std::pair{"progress.received_revision", progress.received_revision()},
                                       std::pair{"progress.applied_revision", progress.applied_revision()}}) {
    if (claimed > most && !outdated) {
      return InvalidField(field, fmt::format("{} was not sent, only {}", claimed, most));
    }
  }
  reported_.received_revision = std::min(progress.received_revision(), most);
  reported_.applied_revision = std::min(progress.applied_revision(), reported_.received_revision);
  reported_.failing_items = progress.failing_items();
  reported_.failing = FailingOf(progress);
  reported_.sessions = progress.has_sessions() ? std::optional<uint64_t>(progress.sessions()) : std::nullopt;
  reported_.ready = progress.has_ready() ? std::optional<bool>(progress.ready()) : std::nullopt;
  if (progress.has_inspection()) TakeInspection(progress.inspection());
  TellConvergence();
  PersistSoon();
  return absl::OkStatus();
}

store::HostProgress AgentStream::Known() const {
  store::HostProgress progress = reported_;
  if (refused_peer_.empty()) return progress;
  const std::string error = fmt::format(
      "another agent, at {}, says that it is {} and is refused; if that machine is a copy, give it a name "
      "and a "
      "certificate of its own: provctl add-host, enrol-host",
      refused_peer_, host_);
  progress.failing.insert(progress.failing.begin(), {std::string(kIdentityItem), 0, error, {}});
  ++progress.failing_items;
  return progress;
}

void AgentStream::TellConvergence() {
  const store::HostProgress known = Known();
  std::string first_error;
  if (!known.failing.empty()) {
    first_error = fmt::format("{}: {}", known.failing.front().key, known.failing.front().error);
  }
  parts_.convergence->Report(connection_, known.received_revision, known.applied_revision,
                             known.failing_items, first_error);
}

void AgentStream::NoteRefused(const std::string& peer) {
  const std::lock_guard lock(mutex_);
  if (!greeted_ || ending() || peer == refused_peer_) return;
  refused_peer_ = peer;
  TellConvergence();
  PersistSoon();
}

// An agent that was started anew has forgotten what it had answered; one that lies answers what was not
// asked.
void AgentStream::TakeInspection(const v1::Inspection& inspection) {
  reported_.inspection = InspectionOf(inspection);
  reported_.inspection->number =
      std::clamp(reported_.inspection->number, answered_inspection_, asked_inspection_);
}

void AgentStream::PersistSoon() {
  if (persist_scheduled_) return;
  persist_scheduled_ = true;
  workers_.PostAfter(kPersistInterval, [self = Self()] { self->Persist(); });
}

void AgentStream::Persist() {
  store::HostProgress progress;
  {
    const std::lock_guard lock(mutex_);
    persist_scheduled_ = false;
    progress = Known();
  }
  const absl::Status status = parts_.progress->Record(progress);
  if (!status.ok()) {
    Log(Level::kWarning, "host_progress_not_recorded", {{"host", host_}, {"error", status}});
  }
}

}  // namespace prov::api
