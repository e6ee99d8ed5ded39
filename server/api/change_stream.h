// One WatchChanges call. Internal to the operations service.
#pragma once

#include <cstdint>
#include <deque>

#include "prov/v1/operations.pb.h"
#include "server/api/stream_reactor.h"
#include "server/feed/change_page.h"
#include "server/store/read_snapshot.h"

namespace prov::api {

class ChangeStream final : public StreamReactor<grpc::ServerWriteReactor<v1::Change>, v1::Change> {
 public:
  ChangeStream(grpc::CallbackServerContext* context, Workers& workers, store::SnapshotSource& snapshots,
               uint64_t after_revision)
      : StreamReactor(context, workers), snapshots_(snapshots), position_(after_revision) {}

  // After Start.
  void Begin();
  // A write became visible; may be called with what is known already.
  void NoteHead(uint64_t head_revision);

 private:
  void OnWritable() override { Pump(); }
  // With the mutex held: sends what was read, or has more read by a worker.
  void Pump();
  void ReadPage();
  absl::StatusOr<feed::ChangePage> TryReadPage(uint64_t after);

  store::SnapshotSource& snapshots_;
  uint64_t position_;  // read up to here; only who set reading_ moves it
  bool reading_ = false;
  bool wanted_ = false;  // there may be more to read
  std::deque<store::Change> page_;
};

}  // namespace prov::api
