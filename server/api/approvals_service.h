// prov.v1.Approvals.
#pragma once

#include "prov/v1/approvals.grpc.pb.h"
#include "server/api/write_call.h"
#include "server/store/approval_repository.h"

namespace prov::api {

// Thread-safe.
class ApprovalsService final : public v1::Approvals::Service {
 public:
  ApprovalsService(const WriteCalls& writes, store::ApprovalRepository& approvals)
      : writes_(writes), approvals_(approvals) {}

  grpc::Status ApproveChanges(grpc::ServerContext* context, const v1::ApproveChangesRequest* request,
                              v1::Approval* response) override;
  grpc::Status ListStoppedCallers(grpc::ServerContext* context, const v1::ListStoppedCallersRequest* request,
                                  v1::ListStoppedCallersResponse* response) override;
  grpc::Status GetHostApproval(grpc::ServerContext* context, const v1::GetHostApprovalRequest* request,
                               v1::HostApproval* response) override;

 private:
  const WriteCalls& writes_;
  store::ApprovalRepository& approvals_;
};

}  // namespace prov::api
