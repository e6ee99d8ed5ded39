// prov.v1.Domains.
#pragma once

#include "prov/v1/domains.grpc.pb.h"
#include "server/api/write_call.h"
#include "server/store/domain_repository.h"

namespace prov::api {

// Thread-safe.
class DomainsService final : public v1::Domains::Service {
 public:
  DomainsService(const WriteCalls& writes, store::DomainRepository& domains)
      : writes_(writes), domains_(domains) {}

  grpc::Status CreateDomain(grpc::ServerContext* context, const v1::CreateDomainRequest* request,
                            v1::Domain* response) override;
  grpc::Status GetDomain(grpc::ServerContext* context, const v1::GetDomainRequest* request,
                         v1::Domain* response) override;
  grpc::Status ListDomains(grpc::ServerContext* context, const v1::ListDomainsRequest* request,
                           v1::ListDomainsResponse* response) override;
  grpc::Status UpdateDomain(grpc::ServerContext* context, const v1::UpdateDomainRequest* request,
                            v1::Domain* response) override;
  grpc::Status DeleteDomain(grpc::ServerContext* context, const v1::DeleteDomainRequest* request,
                            v1::DeleteDomainResponse* response) override;

 private:
  const WriteCalls& writes_;
  store::DomainRepository& domains_;
};

}  // namespace prov::api
