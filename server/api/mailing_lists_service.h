// prov.v1.MailingLists.
#pragma once

#include "prov/v1/lists.grpc.pb.h"
#include "server/api/write_call.h"
#include "server/store/mailing_list_repository.h"

namespace prov::api {

// Thread-safe.
class MailingListsService final : public v1::MailingLists::Service {
 public:
  MailingListsService(const WriteCalls& writes, store::MailingListRepository& lists)
      : writes_(writes), lists_(lists) {}

  grpc::Status CreateMailingList(grpc::ServerContext* context, const v1::CreateMailingListRequest* request,
                                 v1::MailingList* response) override;
  grpc::Status GetMailingList(grpc::ServerContext* context, const v1::GetMailingListRequest* request,
                              v1::MailingList* response) override;
  grpc::Status ListMailingLists(grpc::ServerContext* context, const v1::ListMailingListsRequest* request,
                                v1::ListMailingListsResponse* response) override;
  grpc::Status UpdateMailingList(grpc::ServerContext* context, const v1::UpdateMailingListRequest* request,
                                 v1::MailingList* response) override;
  grpc::Status DeleteMailingList(grpc::ServerContext* context, const v1::DeleteMailingListRequest* request,
                                 v1::DeleteMailingListResponse* response) override;
  grpc::Status AddMember(grpc::ServerContext* context, const v1::AddMemberRequest* request,
                         v1::Member* response) override;
  grpc::Status RemoveMember(grpc::ServerContext* context, const v1::RemoveMemberRequest* request,
                            v1::RemoveMemberResponse* response) override;
  grpc::Status ListMembers(grpc::ServerContext* context, const v1::ListMembersRequest* request,
                           v1::ListMembersResponse* response) override;

 private:
  const WriteCalls& writes_;
  store::MailingListRepository& lists_;
};

}  // namespace prov::api
