// One WaitForRevision call. Internal to the operations service.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "prov/v1/operations.pb.h"
#include "server/api/stream_reactor.h"
#include "server/feed/convergence.h"
#include "server/feed/feed.h"
#include "server/feed/fleet_watch.h"

namespace prov::api {

class ProgressStream final
    : public StreamReactor<grpc::ServerWriteReactor<v1::RevisionProgress>, v1::RevisionProgress> {
 public:
  struct Parts {
    feed::Convergence* convergence = nullptr;
    const feed::FleetWatch* fleet = nullptr;
    Workers* workers = nullptr;
    const Clock* clock = nullptr;
  };
  // `revision` 0: the newest write at the time of the call.
  ProgressStream(grpc::CallbackServerContext* context, const Parts& parts, uint64_t revision)
      : StreamReactor(context, *parts.workers),
        parts_(parts),
        revision_(revision),
        start_(parts.clock->Monotonic()) {}

  // After Start: learns on a worker whom to wait for, and sends the first message.
  void Begin();
  // A follower may have moved: sends what differs from the last message; ends when all are current.
  void Look();

 private:
  void OnWritable() override { LookLocked(); }
  absl::Status Prepare();
  void LookLocked();
  v1::RevisionProgress Describe(const std::vector<feed::Follower>& followers);

  const Parts parts_;
  uint64_t revision_;
  const std::chrono::steady_clock::time_point start_;
  bool prepared_ = false;
  bool converged_ = false;
  std::vector<feed::Follower> sent_;
  bool sent_any_ = false;
  std::map<std::string, std::chrono::steady_clock::duration> took_;  // by name and role
};

}  // namespace prov::api
