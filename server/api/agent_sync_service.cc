#include "server/api/agent_sync_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/status.h"
#include "prov/v1/agent_sync.grpc.pb.h"
#include "server/api/agent_stream.h"
#include "server/api/agent_stream_limits.h"
#include "server/api/authorise.h"
#include "server/api/workers.h"

namespace prov::api {
namespace {

constexpr std::chrono::seconds kShutDownPatience{10};

// How an agent tells which of several with one certificate it is: of its process, not of one role's stream.
constexpr const char* kInstanceKey = "prov-agent-instance";
constexpr size_t kMaxInstanceOctets = 128;

std::string InstanceOf(const grpc::CallbackServerContext& context) {
  const auto found = context.client_metadata().find(kInstanceKey);
  if (found == context.client_metadata().end()) return "";
  return std::string(found->second.data(), std::min(found->second.size(), kMaxInstanceOctets));
}

// A call that ends before it began.
class Refusal final : public grpc::ServerBidiReactor<v1::SyncRequest, v1::SyncResponse> {
 public:
  explicit Refusal(const absl::Status& status) { Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

class AgentSyncService::Impl final : public v1::AgentSync::CallbackService, public AgentStreamOwner {
 public:
  explicit Impl(const Parts& parts);
  ~Impl() override { ShutDown(); }

  grpc::ServerBidiReactor<v1::SyncRequest, v1::SyncResponse>* Sync(
      grpc::CallbackServerContext* context) override;
  absl::Status Claim(const AgentStream& stream) override;
  void Replace(const std::shared_ptr<AgentStream>& stream) override;

  void ShutDown();
  size_t open_streams() const;

 private:
  using Streams = std::set<std::shared_ptr<AgentStream>>;

  absl::StatusOr<std::shared_ptr<AgentStream>> Admit(grpc::CallbackServerContext* context);
  void Remove(const std::shared_ptr<AgentStream>& stream);
  Streams AllStreams() const;
  void SpreadHead();
  void Pulse();
  void KeepFresh();
  void KeepClaims();
  void Sweep();

  const Parts parts_;
  TaskGate gate_;
  uint64_t subscription_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable quiet_;
  bool shutting_down_ = false;
  bool spreading_ = false;
  Streams streams_;
  std::map<std::pair<std::string, model::Role>, std::shared_ptr<AgentStream>> newest_;
  // Before, claims may be old because it was we who did not keep them, or the database.
  std::chrono::steady_clock::time_point take_over_from_;
};

AgentSyncService::Impl::Impl(const Parts& parts)
    : parts_(parts), take_over_from_(parts.clock->Monotonic() + store::kClaimLifetime) {
  subscription_ = parts_.watch->Subscribe([this](uint64_t head) {
    parts_.convergence->SetHead(head);
    const std::lock_guard lock(mutex_);
    if (spreading_ || shutting_down_) return;
    spreading_ = true;
    parts_.workers->Post(gate_.Wrap([this] { SpreadHead(); }));
  });
  parts_.workers->Post(gate_.Wrap([this] { Pulse(); }));
  parts_.workers->Post(gate_.Wrap([this] { Sweep(); }));
}

absl::StatusOr<std::shared_ptr<AgentStream>> AgentSyncService::Impl::Admit(
    grpc::CallbackServerContext* context) {
  PROV_ASSIGN_OR_RETURN(const Caller caller,
                        parts_.authoriser->Authorise(*context, "/prov.v1.AgentSync/Sync"));
  const std::lock_guard lock(mutex_);
  if (shutting_down_) return absl::UnavailableError("provd is stopping");
  if (streams_.size() >= kMaxStreams) return absl::ResourceExhaustedError("too many streams");
  const auto of_host = std::count_if(streams_.begin(), streams_.end(),
                                     [&](const auto& stream) { return stream->host() == caller.name; });
  if (static_cast<size_t>(of_host) >= kMaxStreamsPerHost) {
    return absl::ResourceExhaustedError(
        fmt::format("host \"{}\" has {} streams already", caller.name, of_host));
  }
  const AgentStream::Parts parts{
      .feed = parts_.feed,
      .convergence = parts_.convergence,
      .progress = parts_.progress,
      .workers = parts_.workers,
      .clock = parts_.clock,
      .owner = this,
      .on_denied = [authoriser = parts_.authoriser, caller](const absl::Status& status) {
        (void)authoriser->Refuse(caller, "/prov.v1.AgentSync/Sync", status);
      }};
  auto stream = std::make_shared<AgentStream>(context, parts, caller.name, InstanceOf(*context));
  stream->Start(caller, [this, weak = std::weak_ptr<AgentStream>(stream)] { Remove(weak.lock()); });
  streams_.insert(stream);
  return stream;
}

grpc::ServerBidiReactor<v1::SyncRequest, v1::SyncResponse>* AgentSyncService::Impl::Sync(
    grpc::CallbackServerContext* context) {
  auto stream = Admit(context);
  if (!stream.ok()) {
    Log(Level::kWarning, "agent_refused", {{"peer", context->peer()}, {"error", stream.status()}});
    return new Refusal(stream.status());
  }
  (*stream)->Listen();
  return stream->get();  // owns itself
}

absl::Status AgentSyncService::Impl::Claim(const AgentStream& stream) {
  if (stream.instance().empty()) return absl::OkStatus();
  bool may_take_over = false;
  {
    const std::lock_guard lock(mutex_);
    may_take_over = parts_.clock->Monotonic() >= take_over_from_;
  }
  return parts_.claims->Take({stream.host(), stream.instance()}, stream.caller().peer, may_take_over);
}

void AgentSyncService::Impl::Replace(const std::shared_ptr<AgentStream>& stream) {
  std::shared_ptr<AgentStream> older;
  {
    const std::lock_guard lock(mutex_);
    if (streams_.count(stream) == 0) return;  // gone meanwhile
    std::shared_ptr<AgentStream>& newest = newest_[{stream->host(), stream->role()}];
    older = std::exchange(newest, stream);
  }
  if (older == nullptr || older == stream) return;
  Log(Level::kWarning, "agent_stream_replaced",
      {{"host", stream->host()}, {"role", model::RoleName(stream->role())}});
  older->End(absl::AbortedError("another stream of the same host and role has taken over"));
}

void AgentSyncService::Impl::Remove(const std::shared_ptr<AgentStream>& stream) {
  const std::lock_guard lock(mutex_);
  streams_.erase(stream);
  std::erase_if(newest_, [&](const auto& item) { return item.second == stream; });
  if (streams_.empty()) quiet_.notify_all();
}

AgentSyncService::Impl::Streams AgentSyncService::Impl::AllStreams() const {
  const std::lock_guard lock(mutex_);
  return streams_;
}

void AgentSyncService::Impl::SpreadHead() {
  {
    const std::lock_guard lock(mutex_);
    spreading_ = false;
  }
  const uint64_t head = parts_.watch->head();
  for (const auto& stream : AllStreams()) stream->NoteHead(head);
}

// Heartbeats vouch for the head, so it is read from the database itself: without one they cease, and agents
// come to know that they may be out of date.
void AgentSyncService::Impl::Pulse() {
  const auto now = parts_.fleet->Refresh();
  if (now.ok()) {
    for (const auto& stream : AllStreams()) {
      stream->NoteHead(now->head_revision);
      stream->Heartbeat(now->head_revision);
    }
  } else {
    Log(Level::kWarning, "heartbeat_skipped", {{"error", now.status()}});
  }
  KeepFresh();
  const std::lock_guard lock(mutex_);
  if (!shutting_down_) parts_.workers->PostAfter(kHeartbeatInterval, gate_.Wrap([this] { Pulse(); }));
}

// So that other provd believe that these are connected.
void AgentSyncService::Impl::KeepFresh() {
  std::vector<std::pair<std::string, model::Role>> connected;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, stream] : newest_) connected.push_back(key);
  }
  const absl::Status status = parts_.progress->Touch(connected);
  if (!status.ok()) Log(Level::kWarning, "host_progress_not_recorded", {{"error", status}});
  KeepClaims();
}

// Who has lost its claim, while the database was away from us and not from another provd, makes way.
void AgentSyncService::Impl::KeepClaims() {
  std::multimap<store::AgentClaim, std::shared_ptr<AgentStream>> streams;
  std::set<store::AgentClaim> claims;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, stream] : newest_) {
      if (stream->instance().empty()) continue;
      const store::AgentClaim claim{stream->host(), stream->instance()};
      streams.emplace(claim, stream);
      claims.insert(claim);
    }
  }
  const auto kept = parts_.claims->Keep({claims.begin(), claims.end()});
  if (!kept.ok()) {
    Log(Level::kWarning, "agent_claims_not_kept", {{"error", kept.status()}});
    const std::lock_guard lock(mutex_);
    take_over_from_ = parts_.clock->Monotonic() + store::kClaimLifetime;
    return;
  }
  std::map<store::AgentClaim, std::string> refused_peers;
  for (const store::KeptClaim& one : *kept) refused_peers.emplace(one.claim, one.refused_peer);
  for (const auto& [claim, stream] : streams) {
    const auto refused = refused_peers.find(claim);
    if (refused != refused_peers.end()) {
      stream->NoteRefused(refused->second);
    } else {
      stream->End(absl::AbortedError("another agent stands for this host by now"));
    }
  }
}

// A certificate that is revoked, or expires, takes its streams with it.
void AgentSyncService::Impl::Sweep() {
  for (const auto& stream : AllStreams()) stream->EndUnlessTrusted(*parts_.authoriser);
  const std::lock_guard lock(mutex_);
  if (!shutting_down_) parts_.workers->PostAfter(kTrustInterval, gate_.Wrap([this] { Sweep(); }));
}

void AgentSyncService::Impl::ShutDown() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(shutting_down_, true)) return;
  }
  parts_.watch->Unsubscribe(subscription_);
  gate_.Close();
  for (const auto& stream : AllStreams()) stream->End(absl::UnavailableError("provd is stopping"));
  std::unique_lock lock(mutex_);
  if (!quiet_.wait_for(lock, kShutDownPatience, [this] { return streams_.empty(); })) {
    Log(Level::kError, "agent_streams_left", {{"streams", streams_.size()}});
  }
}

size_t AgentSyncService::Impl::open_streams() const {
  const std::lock_guard lock(mutex_);
  return streams_.size();
}

AgentSyncService::AgentSyncService(const Parts& parts) : impl_(std::make_unique<Impl>(parts)) {}
AgentSyncService::~AgentSyncService() = default;
grpc::Service* AgentSyncService::service() { return impl_.get(); }
void AgentSyncService::ShutDown() { impl_->ShutDown(); }
size_t AgentSyncService::open_streams() const { return impl_->open_streams(); }

}  // namespace prov::api
