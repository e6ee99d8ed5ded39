// prov.v1.MailQueues: what waits in the hosts' queues, and what became of mail. provd keeps nothing of it:
// the hosts are asked.
#pragma once

#include <atomic>
#include <string_view>

#include "prov/v1/mail_queues.grpc.pb.h"
#include "server/api/authorise.h"
#include "server/api/host_dialling.h"
#include "server/store/audit_repository.h"

namespace prov::api {

// Calls at once; each has a thread while its host answers.
constexpr int kMostQueueCalls = 32;

// Thread-safe.
class MailQueuesService final : public v1::MailQueues::Service {
 public:
  // All must outlive the service.
  MailQueuesService(const Authoriser& authoriser, const HostDialling& dialling, store::AuditRepository& audit)
      : authoriser_(authoriser), dialling_(dialling), audit_(audit) {}

  grpc::Status ListQueuedMessages(grpc::ServerContext* context, const v1::ListQueuedMessagesRequest* request,
                                  grpc::ServerWriter<v1::ListQueuedMessagesResponse>* writer) override;
  grpc::Status HoldQueuedMessages(grpc::ServerContext* context,
                                  const v1::ChangeQueuedMessagesRequest* request,
                                  v1::ChangeQueuedMessagesResponse* response) override;
  grpc::Status ReleaseQueuedMessages(grpc::ServerContext* context,
                                     const v1::ChangeQueuedMessagesRequest* request,
                                     v1::ChangeQueuedMessagesResponse* response) override;
  grpc::Status DropQueuedMessages(grpc::ServerContext* context,
                                  const v1::ChangeQueuedMessagesRequest* request,
                                  v1::ChangeQueuedMessagesResponse* response) override;
  grpc::Status FlushQueuedMessages(grpc::ServerContext* context,
                                   const v1::ChangeQueuedMessagesRequest* request,
                                   v1::ChangeQueuedMessagesResponse* response) override;
  grpc::Status TraceMail(grpc::ServerContext* context, const v1::TraceMailRequest* request,
                         grpc::ServerWriter<v1::TraceMailResponse>* writer) override;

 private:
  class Turn;

  absl::Status Change(grpc::ServerContext& context, std::string_view method,
                      v1::ChangeQueueRequest::Action action, const v1::ChangeQueuedMessagesRequest& request,
                      v1::ChangeQueuedMessagesResponse& response);
  absl::Status Trace(grpc::ServerContext& context, const v1::TraceMailRequest& request,
                     grpc::ServerWriter<v1::TraceMailResponse>& writer);
  absl::Status Record(const Caller& caller, std::string_view method, const std::string& resource,
                      const std::string& request_id, const google::protobuf::Message& request) const;

  const Authoriser& authoriser_;
  const HostDialling& dialling_;
  store::AuditRepository& audit_;
  std::atomic<int> calls_{0};
};

}  // namespace prov::api
