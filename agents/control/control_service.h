// prov.v1.HostControl: lets provd, and nobody else, ask what this host's engine knows of mail.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "agents/control/engine_channel.h"
#include "prov/v1/host_control.grpc.pb.h"

namespace prov::control {

// Thread-safe.
class ControlService final : public v1::HostControl::Service {
 public:
  // Without an engine that has a queue all is FAILED_PRECONDITION.
  explicit ControlService(std::optional<EngineChannel> engine) : engine_(std::move(engine)) {}

  grpc::Status ListQueue(grpc::ServerContext* context, const v1::ListQueueRequest* request,
                         grpc::ServerWriter<v1::ListQueuedMessagesResponse>* writer) override;
  grpc::Status ChangeQueue(grpc::ServerContext* context, const v1::ChangeQueueRequest* request,
                           v1::ChangeQueuedMessagesResponse* response) override;
  grpc::Status ReadTrace(grpc::ServerContext* context, const v1::ReadTraceRequest* request,
                         grpc::ServerWriter<v1::ReadTraceResponse>* writer) override;

 private:
  // That the caller is provd, and there is an engine to ask.
  absl::Status Admit(const grpc::ServerContext& context) const;

  const std::optional<EngineChannel> engine_;
};

}  // namespace prov::control
