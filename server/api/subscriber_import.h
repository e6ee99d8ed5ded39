// Subscribers.ImportSubscribers: rows in, one write for each request, one answer for each write.
#pragma once

#include <grpcpp/support/sync_stream.h>

#include <atomic>

#include "prov/v1/subscribers.grpc.pb.h"
#include "server/api/import_plan.h"
#include "server/api/lifecycle_steps.h"
#include "server/api/write_call.h"
#include "server/directory/mapping.h"
#include "server/store/read_snapshot.h"

namespace prov::api {

// Thread-safe. Memory does not grow with the length of a stream: one request is at work at a time.
class SubscriberImporter {
 public:
  using Stream = grpc::ServerReaderWriter<v1::ImportSubscribersResponse, v1::ImportSubscribersRequest>;
  struct Parts {
    const WriteCalls* writes = nullptr;
    store::SnapshotSource* snapshots = nullptr;
    directory::MappingOptions mapping;
    LifecycleOptions lifecycle;
  };
  explicit SubscriberImporter(const Parts& parts) : parts_(parts) {}

  // Until the caller has no more rows. RESOURCE_EXHAUSTED when others import already.
  absl::Status Run(grpc::ServerContext& context, Stream& stream);

 private:
  absl::Status RunRequest(const grpc::ServerContext& context, const v1::ImportSubscribersRequest& request,
                          v1::ImportSubscribersResponse& response) const;
  absl::StatusOr<std::vector<ImportStep>> Plan(store::WriteTransaction& write,
                                               const std::vector<absl::StatusOr<ImportedRow>>& rows) const;

  const Parts parts_;
  std::atomic<int> running_{0};
};

}  // namespace prov::api
