// One gRPC service on a port of its own, over mutual TLS.
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/grpc_tls.h"

namespace prov {

class GrpcPort {
 public:
  struct Options {
    std::string listen;  // host:port
    TlsFiles tls;
    std::string name;  // of its share of threads
    int max_request_octets = 1 << 20;
    int most_threads = 16;
  };
  // UNAVAILABLE when it cannot listen.
  static absl::StatusOr<std::unique_ptr<GrpcPort>> Open(const Options& options,
                                                        std::unique_ptr<grpc::Service> service);
  // Calls in progress get two seconds. Not on a gRPC thread.
  ~GrpcPort();

  int port() const { return port_; }

 private:
  explicit GrpcPort(std::unique_ptr<grpc::Service> service) : service_(std::move(service)) {}

  const std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace prov
