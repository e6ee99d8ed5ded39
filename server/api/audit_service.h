// prov.v1.Audit. VerifyAuditLog answers UNIMPLEMENTED until records are chained.
#pragma once

#include "prov/v1/audit.grpc.pb.h"
#include "server/api/authorise.h"
#include "server/store/audit_repository.h"

namespace prov::api {

// Thread-safe.
class AuditService final : public v1::Audit::Service {
 public:
  AuditService(const Authoriser& authoriser, store::AuditRepository& audit)
      : authoriser_(authoriser), audit_(audit) {}

  grpc::Status ListAuditRecords(grpc::ServerContext* context, const v1::ListAuditRecordsRequest* request,
                                v1::ListAuditRecordsResponse* response) override;

 private:
  const Authoriser& authoriser_;
  store::AuditRepository& audit_;
};

}  // namespace prov::api
