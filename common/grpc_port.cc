#include "common/grpc_port.h"

#include <fmt/format.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <chrono>

#include "common/status.h"

namespace prov {
namespace {

constexpr std::chrono::seconds kStopPatience(2);

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcPort>> GrpcPort::Open(const Options& options,
                                                         std::unique_ptr<grpc::Service> service) {
  PROV_ASSIGN_OR_RETURN(const auto credentials, ServerTls(options.tls));
  std::unique_ptr<GrpcPort> port(new GrpcPort(std::move(service)));
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.listen, credentials, &port->port_);
  builder.SetMaxReceiveMessageSize(options.max_request_octets);
  builder.SetResourceQuota(grpc::ResourceQuota(options.name).SetMaxThreads(options.most_threads));
  // Another one on the same port would take half of the connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(port->service_.get());
  port->server_ = builder.BuildAndStart();
  if (!port->server_) return absl::UnavailableError(fmt::format("cannot listen on {}", options.listen));
  return port;
}

GrpcPort::~GrpcPort() {
  if (server_) server_->Shutdown(std::chrono::system_clock::now() + kStopPatience);
}

}  // namespace prov
