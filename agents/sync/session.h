// What an agent does with provd's messages for one role, and what it tells provd. No gRPC, no threads, no
// drivers: messages in, state changed, messages out.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/drivers/driver.h"
#include "agents/state/writer.h"
#include "common/clock.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::sync {

constexpr size_t kMostFailingTold = 100;  // agent_sync.proto, Progress.failing
constexpr std::string_view kHeldItem = "removals";
constexpr std::string_view kNoticeItem = "state";

struct SessionOptions {
  v1::Role role = v1::ROLE_UNSPECIFIED;
  std::string agent_version;
  std::map<std::string, std::string> endpoints;  // by service
  // How many removals an operator has allowed at once, now; 0: no word. Asked when too many come.
  std::function<uint64_t()> allowed_removals;
  // Told as a failing item until the copy has had a whole snapshot; empty: nothing is to be told.
  std::string notice;
};

// Hello and Take are for the thread that reads the stream; the others may be called from any.
class Session {
 public:
  // Both must outlive the session.
  Session(SessionOptions options, state::StateWriter& state, const Clock& clock);

  // Begins a new stream.
  absl::StatusOr<v1::SyncRequest> Hello();

  // Takes one message; what it says is durable when it returns OK. kTooManyRemovals (ReasonOf): nothing was
  // changed, an operator must say a word, and the same message may be taken again. Other errors: the stream
  // is to be ended and begun anew.
  absl::Status Take(const v1::SyncResponse& message);

  // What provd has not been told yet since Hello, if anything. A failure to read the state is an error.
  absl::StatusOr<std::optional<v1::SyncRequest>> Report();

  // Effects were found on the host by inspection, up to here.
  void SetObserved(uint64_t revision);
  // What the host's engine has in progress for the role, nothing where it has none, and whether all is ready.
  void SetServing(std::optional<uint64_t> sessions, bool ready);
  // What drivers have left undone that is no record's; told as failing items named for their files.
  void SetUnfinished(std::vector<drivers::Unfinished> unfinished);
  // The inspection that is under way, or that has ended.
  void SetInspection(const v1::Inspection& inspection);
  // The newest one that provd asks for and that has not been taken from here, once.
  std::optional<v1::InspectionRequest> TakeInspectionRequest();
  // As the last heartbeat said.
  std::chrono::milliseconds heartbeat_interval() const;

 private:
  absl::Status TakeBatch(const v1::Batch& batch);
  absl::Status TakeSnapshotEnd(const v1::SnapshotEnd& end);
  absl::Status Confirm(uint64_t head_revision);
  void Acknowledge(uint64_t nonce);
  // What batches may remove, with what they have of late.
  state::RemovalLimit LimitNow();
  // Runs an edit with the usual limit, then with what the operator allowed.
  absl::Status WithLimit(const std::function<absl::Status(const state::RemovalLimit&)>& edit);

  const SessionOptions options_;
  state::StateWriter& state_;
  const Clock& clock_;
  bool in_snapshot_ = false;
  // Removals are held against the limit together for so long.
  std::optional<std::chrono::steady_clock::time_point> window_start_;
  uint64_t removed_before_ = 0;

  mutable std::mutex mutex_;
  uint64_t nonce_ = 0;
  uint64_t observed_ = 0;
  std::optional<uint64_t> sessions_;
  bool ready_ = false;
  std::vector<drivers::Unfinished> unfinished_;
  v1::Inspection inspection_;
  std::optional<v1::InspectionRequest> inspection_request_;
  std::string held_;  // why the stream does not move
  std::string told_;  // the last progress, to compare
  std::chrono::milliseconds heartbeat_interval_{0};
};

}  // namespace prov::sync
