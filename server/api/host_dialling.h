// Hosts that are asked while somebody waits for the answer, at the place that their agents told.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/grpc_tls.h"
#include "prov/v1/host_control.grpc.pb.h"
#include "server/store/fleet_repository.h"

namespace prov::api {

// Thread-safe. Each call connects anew: hosts are asked seldom. Any provd may ask, for the endpoints are in
// the database.
class HostDialling {
 public:
  // `tls` are provd's own. `fleet` must outlive it.
  HostDialling(store::FleetRepository& fleet, TlsFiles tls) : fleet_(fleet), tls_(std::move(tls)) {}

  // NOT_FOUND on `field`; FAILED_PRECONDITION with reason HOST_NOT_ASKED for one that is out of service, has
  // no queue, or does not say where to ask.
  absl::StatusOr<model::Host> FindHost(std::string_view field, const std::string& id) const;
  // All in service that may have a queue, whether they can be asked or not.
  absl::StatusOr<std::vector<model::Host>> HostsWithQueues() const;

  // Connects; the host is who its certificate says. FAILED_PRECONDITION as above when it cannot be reached
  // within some seconds.
  absl::StatusOr<std::unique_ptr<v1::HostControl::Stub>> Connect(const model::Host& host) const;

  // A context for the call, which ends with the caller's.
  static std::unique_ptr<grpc::ClientContext> ContextFor(const grpc::ServerContext& caller);
  // What a host answered, for whoever asked provd.
  static absl::Status Explain(const model::Host& host, const absl::Status& status);

 private:
  absl::StatusOr<bool> HasQueue(const model::Host& host) const;

  store::FleetRepository& fleet_;
  const TlsFiles tls_;
};

}  // namespace prov::api
