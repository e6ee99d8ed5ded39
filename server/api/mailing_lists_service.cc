#include "server/api/mailing_lists_service.h"

#include <fmt/format.h>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/field_mask.h"
#include "server/api/filter.h"
#include "server/api/page_token.h"
#include "server/api/resource_names.h"
#include "server/api/translation.h"
#include "server/model/validate.h"
#include "server/store/domain_repository.h"

namespace prov::api {
namespace {

using model::MailingList;
using store::MailingListRepository;
using store::WriteTransaction;

absl::StatusOr<model::Posting> PostingOf(v1::MailingList::Posting posting) {
  switch (posting) {
    case v1::MailingList::POSTING_UNSPECIFIED:
    case v1::MailingList::MEMBERS:
      return model::Posting::kMembers;
    case v1::MailingList::OWNERS:
      return model::Posting::kOwners;
    case v1::MailingList::ANYONE:
      return model::Posting::kAnyone;
    default:
      return InvalidField("mailing_list.posting", "is none of MEMBERS, OWNERS, ANYONE");
  }
}

// The address comes from the name; owners are checked where they are needed.
absl::StatusOr<MailingList> ListOf(const v1::MailingList& proto) {
  MailingList list;
  PROV_ASSIGN_OR_RETURN(list.address, MailingListKeyOf("mailing_list.name", proto.name()));
  PROV_RETURN_IF_ERROR(
      model::CheckText("mailing_list.display_name", proto.display_name(), model::kMaxDisplayNameCharacters));
  list.display_name = proto.display_name();
  PROV_ASSIGN_OR_RETURN(list.posting, PostingOf(proto.posting()));
  list.owners.assign(proto.owners().begin(), proto.owners().end());
  if (!proto.pool().empty()) {
    PROV_ASSIGN_OR_RETURN(list.pool, PoolKeyOf("mailing_list.pool", proto.pool()));
  }
  return list;
}

std::string DomainOf(const std::string& address) { return address.substr(address.rfind('@') + 1); }

absl::Status CheckDomainTakesAddresses(WriteTransaction& write, const std::string& domain) {
  constexpr char kField[] = "mailing_list.name";
  const absl::StatusOr<model::Domain> found = store::DomainRepository::Find(write, domain);
  if (!found.ok()) {
    return FieldError(
        absl::StatusCode::kNotFound, kField, "DOMAIN_UNKNOWN",
        fmt::format("the domain {} is not hosted here; provctl add-domain {} hosts it", domain, domain));
  }
  if (found->alias_of.empty()) return absl::OkStatus();
  return FieldError(absl::StatusCode::kFailedPrecondition, kField, "DOMAIN_IS_ALIAS",
                    fmt::format("{} is another name of {} and has no addresses of its own; use {}", domain,
                                found->alias_of, found->alias_of));
}

absl::Status PlaceList(WriteTransaction& write, MailingList& list) {
  constexpr char kField[] = "mailing_list.pool";
  PROV_ASSIGN_OR_RETURN(const std::string pool, MailingListRepository::ChoosePool(write, list.pool));
  if (pool.empty() && list.pool.empty()) {
    return FieldError(
        absl::StatusCode::kFailedPrecondition, kField, "NO_LIST_POOL",
        "there is no pool of role list with a weight; provctl add-pool NAME --role list makes one");
  }
  if (pool.empty()) {
    return FieldError(absl::StatusCode::kNotFound, kField, "POOL_UNKNOWN",
                      fmt::format("{} is not a pool of role list; provctl list-pools shows those there are",
                                  model::Echo(list.pool)));
  }
  list.pool = pool;
  return absl::OkStatus();
}

}  // namespace

grpc::Status MailingListsService::CreateMailingList(grpc::ServerContext* context,
                                                    const v1::CreateMailingListRequest* request,
                                                    v1::MailingList* response) {
  MailingList wanted;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(wanted, ListOf(request->mailing_list()));
    return model::CheckOwners("mailing_list.owners", wanted.owners);
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    const std::string domain = DomainOf(wanted.address);
    PROV_RETURN_IF_ERROR(CheckDomainTakesAddresses(write, domain));
    PROV_RETURN_IF_ERROR(PlaceList(write, wanted));
    PROV_ASSIGN_OR_RETURN(const MailingList created, MailingListRepository::Insert(write, wanted, domain));
    const v1::MailingList proto = ToProto(created);
    return Result(proto.name(), nullptr, proto, proto);
  };
  return ToGrpcStatus(writes_.Run(
      *context,
      {"/prov.v1.MailingLists/CreateMailingList", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status MailingListsService::GetMailingList(grpc::ServerContext* context,
                                                 const v1::GetMailingListRequest* request,
                                                 v1::MailingList* response) {
  const auto get = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(
        writes_.authoriser().Authorise(*context, "/prov.v1.MailingLists/GetMailingList").status());
    PROV_ASSIGN_OR_RETURN(const std::string key, MailingListKeyOf("name", request->name()));
    PROV_ASSIGN_OR_RETURN(const MailingList list, lists_.Get(key));
    *response = ToProto(list);
    return absl::OkStatus();
  };
  return ToGrpcStatus(get());
}

grpc::Status MailingListsService::ListMailingLists(grpc::ServerContext* context,
                                                   const v1::ListMailingListsRequest* request,
                                                   v1::ListMailingListsResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(
        writes_.authoriser().Authorise(*context, "/prov.v1.MailingLists/ListMailingLists").status());
    PROV_ASSIGN_OR_RETURN(store::MailingListQuery query, ParseMailingListFilter(request->filter()));
    PROV_ASSIGN_OR_RETURN(const size_t page, PageSize(request->page_size()));
    const std::string token_of = "lists " + request->filter();
    PROV_ASSIGN_OR_RETURN(query.after, ReadPageToken(token_of, request->page_token()));
    query.limit = page + 1;  // one more tells whether there is a next page
    PROV_ASSIGN_OR_RETURN(std::vector<MailingList> lists, lists_.List(query));
    const bool more = lists.size() > page;
    if (more) lists.resize(page);
    for (const MailingList& one : lists) *response->add_mailing_lists() = ToProto(one);
    if (more) response->set_next_page_token(MakePageToken(token_of, lists.back().address));
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

grpc::Status MailingListsService::UpdateMailingList(grpc::ServerContext* context,
                                                    const v1::UpdateMailingListRequest* request,
                                                    v1::MailingList* response) {
  const v1::MailingList& given = request->mailing_list();
  const auto named = [&](std::string_view field, bool is_set) {
    return IsNamed(request->update_mask(), field, is_set);
  };
  MailingList wanted;
  const auto prepare = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(CheckMask(request->update_mask(), {"display_name", "owners", "posting"}));
    PROV_ASSIGN_OR_RETURN(wanted, ListOf(given));
    if (!named("owners", given.owners_size() > 0)) return absl::OkStatus();
    return model::CheckOwners("mailing_list.owners", wanted.owners);
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(MailingList list, MailingListRepository::Find(write, wanted.address));
    PROV_RETURN_IF_ERROR(CheckEtag(given.etag(), list.revision));
    const v1::MailingList before = ToProto(list);
    if (named("display_name", !given.display_name().empty())) list.display_name = wanted.display_name;
    if (named("owners", given.owners_size() > 0)) list.owners = wanted.owners;
    if (named("posting", given.posting() != 0)) list.posting = wanted.posting;
    PROV_ASSIGN_OR_RETURN(const MailingList saved, MailingListRepository::Save(write, list));
    const v1::MailingList after = ToProto(saved);
    return Result(after.name(), &before, after, after);
  };
  return ToGrpcStatus(writes_.Run(
      *context,
      {"/prov.v1.MailingLists/UpdateMailingList", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status MailingListsService::DeleteMailingList(grpc::ServerContext* context,
                                                    const v1::DeleteMailingListRequest* request,
                                                    v1::DeleteMailingListResponse* response) {
  std::string key;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(key, MailingListKeyOf("name", request->name()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(const MailingList list, MailingListRepository::Find(write, key));
    PROV_RETURN_IF_ERROR(CheckEtag(request->etag(), list.revision));
    PROV_RETURN_IF_ERROR(MailingListRepository::Remove(write, key));
    const v1::MailingList before = ToProto(list);
    v1::DeleteMailingListResponse removed;
    removed.set_revision(write.revision());
    return Result(before.name(), &before, removed, removed);
  };
  return ToGrpcStatus(writes_.Run(
      *context,
      {"/prov.v1.MailingLists/DeleteMailingList", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status MailingListsService::AddMember(grpc::ServerContext* context, const v1::AddMemberRequest* request,
                                            v1::Member* response) {
  std::string list, address;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(list, MailingListKeyOf("parent", request->parent()));
    PROV_ASSIGN_OR_RETURN(const MailAddress checked, model::CheckAddress("address", request->address()));
    address = checked.ToString();
    if (address == list) return InvalidField("address", "is the list itself: its mail would go in a circle");
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(const model::Member added, MailingListRepository::AddMember(write, list, address));
    const v1::Member proto = ToProto(added);
    return Result(proto.name(), nullptr, proto, proto);
  };
  return ToGrpcStatus(writes_.Run(
      *context, {"/prov.v1.MailingLists/AddMember", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status MailingListsService::RemoveMember(grpc::ServerContext* context,
                                               const v1::RemoveMemberRequest* request,
                                               v1::RemoveMemberResponse* response) {
  MemberName name;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(name, MemberNameOf("name", request->name()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_RETURN_IF_ERROR(MailingListRepository::RemoveMember(write, name.list, name.address));
    v1::Member before;
    before.set_name("lists/" + model::MemberKey(name.list, name.address));
    v1::RemoveMemberResponse removed;
    removed.set_revision(write.revision());
    return Result(before.name(), &before, removed, removed);
  };
  return ToGrpcStatus(writes_.Run(
      *context,
      {"/prov.v1.MailingLists/RemoveMember", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status MailingListsService::ListMembers(grpc::ServerContext* context,
                                              const v1::ListMembersRequest* request,
                                              v1::ListMembersResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(
        writes_.authoriser().Authorise(*context, "/prov.v1.MailingLists/ListMembers").status());
    PROV_ASSIGN_OR_RETURN(const std::string key, MailingListKeyOf("parent", request->parent()));
    PROV_ASSIGN_OR_RETURN(const size_t page, PageSize(request->page_size()));
    const std::string token_of = "members " + key;
    PROV_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(token_of, request->page_token()));
    PROV_ASSIGN_OR_RETURN(std::vector<model::Member> members, lists_.ListMembers(key, after, page + 1));
    const bool more = members.size() > page;
    if (more) members.resize(page);
    for (const model::Member& member : members) *response->add_members() = ToProto(member);
    if (more) response->set_next_page_token(MakePageToken(token_of, members.back().address));
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

}  // namespace prov::api
