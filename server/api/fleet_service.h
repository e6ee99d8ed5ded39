// prov.v1.Fleet: pools and hosts. Moves, drain, eviction and ban answer UNIMPLEMENTED for now.
#pragma once

#include "prov/v1/fleet.grpc.pb.h"
#include "server/api/write_call.h"
#include "server/store/fleet_repository.h"
#include "server/store/host_progress.h"

namespace prov::api {

// Thread-safe.
class FleetService final : public v1::Fleet::Service {
 public:
  FleetService(const WriteCalls& writes, store::FleetRepository& fleet,
               store::HostProgressRepository& progress)
      : writes_(writes), fleet_(fleet), progress_(progress) {}

  grpc::Status CreatePool(grpc::ServerContext* context, const v1::CreatePoolRequest* request,
                          v1::Pool* response) override;
  grpc::Status GetPool(grpc::ServerContext* context, const v1::GetPoolRequest* request,
                       v1::Pool* response) override;
  grpc::Status ListPools(grpc::ServerContext* context, const v1::ListPoolsRequest* request,
                         v1::ListPoolsResponse* response) override;
  grpc::Status CreateHost(grpc::ServerContext* context, const v1::CreateHostRequest* request,
                          v1::Host* response) override;
  grpc::Status GetHost(grpc::ServerContext* context, const v1::GetHostRequest* request,
                       v1::Host* response) override;
  grpc::Status ListHosts(grpc::ServerContext* context, const v1::ListHostsRequest* request,
                         v1::ListHostsResponse* response) override;

 private:
  const WriteCalls& writes_;
  store::FleetRepository& fleet_;
  store::HostProgressRepository& progress_;
};

}  // namespace prov::api
