// One agent's stream for one role. Internal to the agent sync service.
//
// Reads are taken one at a time, and the next message is only made when the one before has been written and
// no more than a few batches are unacknowledged: memory does not grow with what a slow agent has yet to read.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "prov/v1/agent_sync.pb.h"
#include "server/api/stream_reactor.h"
#include "server/feed/convergence.h"
#include "server/feed/feed.h"
#include "server/store/host_progress.h"

namespace prov::api {

class AgentStream;

// What a stream asks of its service. Thread-safe.
class AgentStreamOwner {
 public:
  virtual ~AgentStreamOwner() = default;
  // Makes the stream's agent the one that stands for its host; ALREADY_EXISTS when that is another. May
  // block.
  virtual absl::Status Claim(const AgentStream& stream) = 0;
  // Ends the older stream of the same host and role.
  virtual void Replace(const std::shared_ptr<AgentStream>& stream) = 0;
};

class AgentStream final
    : public StreamReactor<grpc::ServerBidiReactor<v1::SyncRequest, v1::SyncResponse>, v1::SyncResponse> {
 public:
  struct Parts {
    feed::Feed* feed = nullptr;
    feed::Convergence* convergence = nullptr;
    store::HostProgressRepository* progress = nullptr;
    Workers* workers = nullptr;
    const Clock* clock = nullptr;
    AgentStreamOwner* owner = nullptr;
    // Of a stream that may not be, for the audit. May block.
    std::function<void(const absl::Status& status)> on_denied;
  };
  // `instance` tells the agents of one certificate apart; empty: of one that does not say.
  AgentStream(grpc::CallbackServerContext* context, const Parts& parts, std::string host,
              std::string instance);

  // After Start: reads the first message.
  void Listen();

  // A write became visible; may be called with what is known already.
  void NoteHead(uint64_t head_revision);
  // Tells the agent of the head, unless something is being sent anyway.
  void Heartbeat(uint64_t head_revision);

  // Another agent that says it is this host, and is refused; empty: none.
  void NoteRefused(const std::string& peer);

  const std::string& host() const { return host_; }
  const std::string& instance() const { return instance_; }
  // From Replace on.
  model::Role role() const { return role_; }

 private:
  void OnReadDone(bool ok) override;
  void OnWritable() override { Pump(); }
  void OnEnding() override;

  std::shared_ptr<AgentStream> Self() { return std::static_pointer_cast<AgentStream>(shared_from_this()); }

  // On a worker.
  void Greet(const v1::Hello& hello);
  absl::Status TryGreet(const v1::Hello& hello);
  // The number of the last inspection that was asked for and has been answered whole.
  absl::StatusOr<uint64_t> AnsweredInspection();
  void Produce();
  void Persist();

  // With the mutex held.
  void Pump();
  void WantRound();
  absl::Status TakeProgress(const v1::Progress& progress);
  void TakeInspection(const v1::Inspection& inspection);
  // What an operator has asked of the host, as far as the agent has not been asked already.
  void NoteInspection(const model::Host& host);
  void PersistSoon();
  // What the agent reported, and what is known here besides.
  store::HostProgress Known() const;
  void TellConvergence();

  const Parts parts_;
  const std::string host_, instance_;
  model::Role role_ = model::Role::kRelay;

  v1::SyncRequest request_;  // the one read is under way into
  bool hello_taken_ = false;
  bool greeted_ = false;

  // Only who set producing_ uses it.
  std::unique_ptr<feed::FeedStream> feed_;
  bool producing_ = false;
  bool wanted_ = false;  // there may be something to send
  // Whether the agent was told that it has everything: it waits for that to call itself ready.
  bool told_all_ = false;

  uint64_t head_ = 0;
  std::chrono::steady_clock::time_point next_round_;  // not earlier
  bool round_scheduled_ = false;
  uint64_t sent_revision_ = 0;
  uint64_t sent_nonce_ = 0;
  uint64_t acknowledged_nonce_ = 0;
  uint64_t snapshot_nonce_ = 0;   // of the last snapshot's end
  uint64_t before_snapshot_ = 0;  // sent_revision_ when it began
  bool in_snapshot_ = false;

  uint64_t answered_inspection_ = 0;  // before this stream
  uint64_t asked_inspection_ = 0;
  std::optional<v1::InspectionRequest> inspection_request_;  // to be sent

  uint64_t connection_ = 0;  // in convergence
  store::HostProgress reported_;
  std::string refused_peer_;
  bool persist_scheduled_ = false;
};

}  // namespace prov::api
