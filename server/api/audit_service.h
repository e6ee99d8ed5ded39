// prov.v1.Audit: who did what, and whether the log is whole.
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
  grpc::Status VerifyAuditLog(grpc::ServerContext* context, const v1::VerifyAuditLogRequest* request,
                              v1::VerifyAuditLogResponse* response) override;

 private:
  const Authoriser& authoriser_;
  store::AuditRepository& audit_;
};

}  // namespace prov::api
