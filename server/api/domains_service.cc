#include "server/api/domains_service.h"

#include <fmt/format.h>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/field_mask.h"
#include "server/api/page_token.h"
#include "server/api/resource_names.h"
#include "server/api/translation.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

using model::Domain;
using store::DomainRepository;
using store::WriteTransaction;

absl::StatusOr<model::SuspendedMail> SuspendedMailOf(const v1::Domain& proto) {
  switch (proto.suspended_mail()) {
    case v1::Domain::SUSPENDED_MAIL_UNSPECIFIED:
    case v1::Domain::KEEP:
      return model::SuspendedMail::kKeep;
    case v1::Domain::REJECT:
      return model::SuspendedMail::kReject;
    case v1::Domain::DEFER:
      return model::SuspendedMail::kDefer;
    default:
      return InvalidField("domain.suspended_mail", "is none of KEEP, REJECT, DEFER");
  }
}

// All fields but the name, checked.
absl::StatusOr<Domain> FieldsOf(const v1::Domain& proto) {
  Domain domain;
  PROV_ASSIGN_OR_RETURN(domain.suspended_mail, SuspendedMailOf(proto));
  if (!proto.alias_of().empty()) {
    PROV_ASSIGN_OR_RETURN(domain.alias_of, DomainKeyOf("domain.alias_of", proto.alias_of()));
  }
  if (!proto.catch_all().empty()) {
    PROV_ASSIGN_OR_RETURN(const MailAddress address,
                          model::CheckAddress("domain.catch_all", proto.catch_all()));
    domain.catch_all = address.ToString();
  }
  return domain;
}

absl::Status AliasRefused(std::string_view reason, std::string_view description) {
  return FieldError(absl::StatusCode::kFailedPrecondition, "domain.alias_of", reason, description);
}

// An alias is another name of every address of its target, and of nothing else. Addresses of its own would
// shadow the target's; an alias of an alias would make a look-up a walk, and could make it a circle.
absl::Status CheckAlias(WriteTransaction& write, const Domain& domain) {
  if (domain.alias_of.empty()) return absl::OkStatus();
  if (domain.alias_of == domain.name) return InvalidField("domain.alias_of", "is the domain itself");
  if (!domain.catch_all.empty()) {
    return InvalidField("domain.catch_all", fmt::format("cannot stand beside alias_of: mail to unknown local "
                                                        "parts goes where that of {} goes",
                                                        domain.alias_of));
  }
  absl::StatusOr<Domain> target = DomainRepository::Find(write, domain.alias_of);
  if (!target.ok()) {
    return FieldError(absl::StatusCode::kNotFound, "domain.alias_of", "DOMAIN_UNKNOWN",
                      fmt::format("{} is not hosted here", domain.alias_of));
  }
  if (!target->alias_of.empty()) {
    return AliasRefused("ALIAS_OF_ALIAS", fmt::format("{} is itself an alias; name {}, which it stands for",
                                                      target->name, target->alias_of));
  }
  PROV_ASSIGN_OR_RETURN(const DomainRepository::Uses uses, DomainRepository::UsesOf(write, domain.name));
  if (uses.aliases) {
    return AliasRefused("DOMAIN_HAS_ALIASES",
                        fmt::format("{} has aliases, and an alias of an alias is not followed; make them "
                                    "aliases of {} first",
                                    domain.name, domain.alias_of));
  }
  if (!uses.addresses) return absl::OkStatus();
  return AliasRefused("DOMAIN_HAS_ADDRESSES",
                      fmt::format("{} has subscribers, lists or addresses of its own (reserved ones count), "
                                  "whose mail would be {}'s; take them away first",
                                  domain.name, domain.alias_of));
}

// Mail of everybody who mistypes goes there: to somebody here, who can be suspended, has a quota, and whose
// forward is checked for circles. An address elsewhere would make us forward all spam to unknown local parts.
absl::Status CheckCatchAll(WriteTransaction& write, const Domain& domain) {
  if (domain.catch_all.empty()) return absl::OkStatus();
  PROV_ASSIGN_OR_RETURN(const bool there, DomainRepository::HasAddress(write, domain.catch_all));
  if (there) return absl::OkStatus();
  return FieldError(absl::StatusCode::kFailedPrecondition, "domain.catch_all", "ADDRESS_UNKNOWN",
                    fmt::format("{} is no address of a subscriber or list here; to send such mail elsewhere, "
                                "give a subscriber who has a forward",
                                domain.catch_all));
}

}  // namespace

grpc::Status DomainsService::CreateDomain(grpc::ServerContext* context,
                                          const v1::CreateDomainRequest* request, v1::Domain* response) {
  Domain wanted;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(wanted, FieldsOf(request->domain()));
    PROV_ASSIGN_OR_RETURN(wanted.name, DomainKeyOf("domain.name", request->domain().name()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_RETURN_IF_ERROR(CheckAlias(write, wanted));
    PROV_RETURN_IF_ERROR(CheckCatchAll(write, wanted));
    PROV_ASSIGN_OR_RETURN(const Domain created, DomainRepository::Insert(write, wanted));
    const v1::Domain proto = ToProto(created);
    return Result(proto.name(), nullptr, proto, proto);
  };
  return ToGrpcStatus(writes_.Run(
      *context, {"/prov.v1.Domains/CreateDomain", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status DomainsService::GetDomain(grpc::ServerContext* context, const v1::GetDomainRequest* request,
                                       v1::Domain* response) {
  const auto get = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(writes_.authoriser().Authorise(*context, "/prov.v1.Domains/GetDomain").status());
    PROV_ASSIGN_OR_RETURN(const std::string key, DomainKeyOf("name", request->name()));
    PROV_ASSIGN_OR_RETURN(const Domain domain, domains_.Get(key));
    *response = ToProto(domain);
    return absl::OkStatus();
  };
  return ToGrpcStatus(get());
}

grpc::Status DomainsService::ListDomains(grpc::ServerContext* context, const v1::ListDomainsRequest* request,
                                         v1::ListDomainsResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(writes_.authoriser().Authorise(*context, "/prov.v1.Domains/ListDomains").status());
    PROV_ASSIGN_OR_RETURN(const size_t page, PageSize(request->page_size()));
    PROV_ASSIGN_OR_RETURN(const std::string after, ReadPageToken("domains", request->page_token()));
    PROV_ASSIGN_OR_RETURN(std::vector<Domain> domains, domains_.List(after, page + 1));
    const bool more = domains.size() > page;
    if (more) domains.resize(page);
    for (const Domain& domain : domains) *response->add_domains() = ToProto(domain);
    if (more) response->set_next_page_token(MakePageToken("domains", domains.back().name));
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

grpc::Status DomainsService::UpdateDomain(grpc::ServerContext* context,
                                          const v1::UpdateDomainRequest* request, v1::Domain* response) {
  Domain wanted;
  const auto prepare = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(CheckMask(request->update_mask(), {"suspended_mail", "alias_of", "catch_all"}));
    PROV_ASSIGN_OR_RETURN(wanted, FieldsOf(request->domain()));
    PROV_ASSIGN_OR_RETURN(wanted.name, DomainKeyOf("domain.name", request->domain().name()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(Domain domain, DomainRepository::Find(write, wanted.name));
    PROV_RETURN_IF_ERROR(CheckEtag(request->domain().etag(), domain.revision));
    const v1::Domain before = ToProto(domain);
    const model::SuspendedMail policy = domain.suspended_mail;
    const std::string catch_all = domain.catch_all;
    const v1::Domain& given = request->domain();
    if (IsNamed(request->update_mask(), "suspended_mail", given.suspended_mail() != 0))
      domain.suspended_mail = wanted.suspended_mail;
    if (IsNamed(request->update_mask(), "alias_of", !given.alias_of().empty()))
      domain.alias_of = wanted.alias_of;
    if (IsNamed(request->update_mask(), "catch_all", !given.catch_all().empty()))
      domain.catch_all = wanted.catch_all;
    PROV_RETURN_IF_ERROR(CheckAlias(write, domain));
    // One that has lost its owner since stays until it is changed, and takes no mail.
    if (domain.catch_all != catch_all) PROV_RETURN_IF_ERROR(CheckCatchAll(write, domain));
    PROV_ASSIGN_OR_RETURN(const Domain saved,
                          DomainRepository::Save(write, domain, domain.suspended_mail != policy));
    const v1::Domain after = ToProto(saved);
    return Result(after.name(), &before, after, after);
  };
  return ToGrpcStatus(writes_.Run(
      *context, {"/prov.v1.Domains/UpdateDomain", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status DomainsService::DeleteDomain(grpc::ServerContext* context,
                                          const v1::DeleteDomainRequest* request,
                                          v1::DeleteDomainResponse* response) {
  std::string key;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(key, DomainKeyOf("name", request->name()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(const Domain domain, DomainRepository::Find(write, key));
    PROV_RETURN_IF_ERROR(CheckEtag(request->etag(), domain.revision));
    PROV_RETURN_IF_ERROR(DomainRepository::Remove(write, key));
    const v1::Domain before = ToProto(domain);
    v1::DeleteDomainResponse removed;
    removed.set_revision(write.revision());
    return Result(before.name(), &before, removed, removed);
  };
  return ToGrpcStatus(writes_.Run(
      *context, {"/prov.v1.Domains/DeleteDomain", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

}  // namespace prov::api
