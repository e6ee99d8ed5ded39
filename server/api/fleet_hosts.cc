// Hosts of prov.v1.Fleet.
#include <fmt/format.h>

#include <map>
#include <set>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/field_mask.h"
#include "server/api/fleet_service.h"
#include "server/api/page_token.h"
#include "server/api/resource_names.h"
#include "server/api/translation.h"
#include "server/model/validate.h"
#include "server/store/certificate_repository.h"

namespace prov::api {
namespace {

using model::Host;
using model::HostState;
using model::HostStateName;
using model::Pool;
using store::CertificateRepository;
using store::FleetRepository;
using store::WriteTransaction;

constexpr int kMaxPoolsOfHost = 16;

absl::StatusOr<std::vector<std::string>> PoolsOf(const v1::Host& proto) {
  if (proto.pools_size() > kMaxPoolsOfHost) return InvalidField("host.pools", "has too many pools");
  std::set<std::string> pools;
  for (const std::string& name : proto.pools()) {
    PROV_ASSIGN_OR_RETURN(std::string id, PoolKeyOf("host.pools", name));
    pools.insert(std::move(id));
  }
  if (pools.empty())
    return InvalidField("host.pools", "is required: the pool or pools that the host belongs to");
  return std::vector<std::string>(pools.begin(), pools.end());
}

absl::StatusOr<Host> HostOf(const v1::Host& proto) {
  Host host;
  PROV_ASSIGN_OR_RETURN(host.id, HostKeyOf("host.name", proto.name()));
  PROV_RETURN_IF_ERROR(model::CheckWeight("host.weight", proto.weight()));
  host.weight = proto.weight();
  PROV_ASSIGN_OR_RETURN(host.pools, PoolsOf(proto));
  return host;
}

// One pool for each role: an agent follows one view for each role it plays.
absl::Status CheckRolesDiffer(WriteTransaction& write, const Host& host) {
  std::map<model::Role, std::string> roles;
  for (const std::string& id : host.pools) {
    const absl::StatusOr<Pool> pool = FleetRepository::FindPool(write, id);
    if (!pool.ok()) {
      return FieldError(absl::StatusCode::kNotFound, "host.pools", "POOL_UNKNOWN",
                        fmt::format("{} is not a pool; provctl list-pools shows those there are", id));
    }
    const auto [other, added] = roles.emplace(pool->role, id);
    if (!added) {
      return InvalidField(
          "host.pools",
          fmt::format("{} and {} have the same role; a host is in one pool of each role", other->second, id));
    }
  }
  return absl::OkStatus();
}

absl::Status WrongState(std::string_view reason, const Host& host, std::string_view advice) {
  return FieldError(absl::StatusCode::kFailedPrecondition, "name", reason,
                    fmt::format("{} is {}; {}", host.id, HostStateName(host.state), advice));
}

}  // namespace

grpc::Status FleetService::CreateHost(grpc::ServerContext* context, const v1::CreateHostRequest* request,
                                      v1::Host* response) {
  Host wanted;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(wanted, HostOf(request->host()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_RETURN_IF_ERROR(CheckRolesDiffer(write, wanted));
    PROV_ASSIGN_OR_RETURN(const Host created, FleetRepository::InsertHost(write, wanted));
    const v1::Host proto = ToProto(created);
    return Result(proto.name(), nullptr, proto, proto);
  };
  return ToGrpcStatus(writes_.Run(
      *context, {"/prov.v1.Fleet/CreateHost", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status FleetService::GetHost(grpc::ServerContext* context, const v1::GetHostRequest* request,
                                   v1::Host* response) {
  const auto get = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(writes_.authoriser().Authorise(*context, "/prov.v1.Fleet/GetHost").status());
    PROV_ASSIGN_OR_RETURN(const std::string key, HostKeyOf("name", request->name()));
    PROV_ASSIGN_OR_RETURN(const Host host, fleet_.GetHost(key));
    PROV_ASSIGN_OR_RETURN(const std::vector<store::HostProgress> progress, progress_.ForHost(key));
    *response = ToProto(host);
    for (const store::HostProgress& one : progress) *response->add_progress() = ToProto(one);
    return absl::OkStatus();
  };
  return ToGrpcStatus(get());
}

grpc::Status FleetService::ListHosts(grpc::ServerContext* context, const v1::ListHostsRequest* request,
                                     v1::ListHostsResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(writes_.authoriser().Authorise(*context, "/prov.v1.Fleet/ListHosts").status());
    PROV_ASSIGN_OR_RETURN(const size_t page, PageSize(request->page_size()));
    PROV_ASSIGN_OR_RETURN(const std::string after, ReadPageToken("hosts", request->page_token()));
    PROV_ASSIGN_OR_RETURN(std::vector<Host> hosts, fleet_.ListHosts(after, page + 1));
    const bool more = hosts.size() > page;
    if (more) hosts.resize(page);
    PROV_ASSIGN_OR_RETURN(const std::vector<store::HostProgress> progress, progress_.All());
    std::multimap<std::string, const store::HostProgress*> by_host;
    for (const store::HostProgress& one : progress) by_host.emplace(one.host, &one);
    for (const Host& host : hosts) {
      v1::Host* proto = response->add_hosts();
      *proto = ToProto(host);
      for (auto [it, end] = by_host.equal_range(host.id); it != end; ++it)
        *proto->add_progress() = ToProto(*it->second);
    }
    if (more) response->set_next_page_token(MakePageToken("hosts", hosts.back().id));
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

grpc::Status FleetService::UpdateHost(grpc::ServerContext* context, const v1::UpdateHostRequest* request,
                                      v1::Host* response) {
  const v1::Host& given = request->host();
  Host wanted;
  const auto prepare = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(CheckMask(request->update_mask(), {"pools", "weight"}));
    PROV_ASSIGN_OR_RETURN(wanted.id, HostKeyOf("host.name", given.name()));
    PROV_RETURN_IF_ERROR(model::CheckWeight("host.weight", given.weight()));
    if (!IsNamed(request->update_mask(), "pools", !given.pools().empty())) return absl::OkStatus();
    PROV_ASSIGN_OR_RETURN(wanted.pools, PoolsOf(given));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(Host host, FleetRepository::FindHost(write, wanted.id));
    PROV_RETURN_IF_ERROR(CheckEtag(given.etag(), host.revision));
    const v1::Host before = ToProto(host);
    if (IsNamed(request->update_mask(), "weight", given.weight() != 0)) host.weight = given.weight();
    if (!wanted.pools.empty()) host.pools = wanted.pools;
    PROV_RETURN_IF_ERROR(CheckRolesDiffer(write, host));
    PROV_ASSIGN_OR_RETURN(const Host saved, FleetRepository::SaveHost(write, host));
    const v1::Host after = ToProto(saved);
    return Result(after.name(), &before, after, after);
  };
  return ToGrpcStatus(writes_.Run(
      *context, {"/prov.v1.Fleet/UpdateHost", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status FleetService::DeleteHost(grpc::ServerContext* context, const v1::DeleteHostRequest* request,
                                      v1::DeleteHostResponse* response) {
  std::string key;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(key, HostKeyOf("name", request->name()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(const Host host, FleetRepository::FindHost(write, key));
    PROV_RETURN_IF_ERROR(CheckEtag(request->etag(), host.revision));
    // Removing the wrong one is a mistake that sessions pay for; draining it is not.
    if (host.state == HostState::kServing) {
      return WrongState("HOST_SERVING", host, fmt::format("provctl drain-host {} comes first", host.id));
    }
    // It may be anywhere by now; a host that comes back under this name enrols anew.
    CertificateRepository::ForgetToken(write, key);
    CertificateRepository::RevokeAllOf(write, "agent/" + key, "host removed");
    PROV_RETURN_IF_ERROR(FleetRepository::RemoveHost(write, key));
    const v1::Host before = ToProto(host);
    v1::DeleteHostResponse removed;
    removed.set_revision(write.revision());
    return Result(before.name(), &before, removed, removed);
  };
  const absl::Status status = writes_.Run(
      *context, {"/prov.v1.Fleet/DeleteHost", request, request->request_id(), request->validate_only()},
      prepare, body, response);
  if (status.ok() && trust_changed_) trust_changed_();
  return ToGrpcStatus(status);
}

template <typename Request>
grpc::Status FleetService::ChangeState(grpc::ServerContext* context, std::string_view method,
                                       const Request& request, HostState from, HostState to,
                                       v1::Host* response) {
  std::string key;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(key, HostKeyOf("name", request.name()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(Host host, FleetRepository::FindHost(write, key));
    PROV_RETURN_IF_ERROR(CheckEtag(request.etag(), host.revision));
    const v1::Host before = ToProto(host);
    if (host.state == to) return Result(before.name(), &before, before, before);  // already so
    if (host.state != from) {
      return WrongState("HOST_STATE", host,
                        fmt::format("only a {} host can be {}", HostStateName(from), HostStateName(to)));
    }
    host.state = to;
    PROV_ASSIGN_OR_RETURN(const Host saved, FleetRepository::SaveHost(write, host));
    const v1::Host after = ToProto(saved);
    return Result(after.name(), &before, after, after);
  };
  return ToGrpcStatus(writes_.Run(*context, {method, &request, request.request_id(), request.validate_only()},
                                  prepare, body, response));
}

grpc::Status FleetService::DrainHost(grpc::ServerContext* context, const v1::DrainHostRequest* request,
                                     v1::Host* response) {
  return ChangeState(context, "/prov.v1.Fleet/DrainHost", *request, HostState::kServing, HostState::kDrained,
                     response);
}

grpc::Status FleetService::UndrainHost(grpc::ServerContext* context, const v1::UndrainHostRequest* request,
                                       v1::Host* response) {
  return ChangeState(context, "/prov.v1.Fleet/UndrainHost", *request, HostState::kDrained,
                     HostState::kServing, response);
}

grpc::Status FleetService::InspectHost(grpc::ServerContext* context, const v1::InspectHostRequest* request,
                                       v1::Host* response) {
  std::string key;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(key, HostKeyOf("name", request->name()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(const Host host, FleetRepository::FindHost(write, key));
    if (!host.IsInService()) return WrongState("HOST_STATE", host, "its agents follow no more");
    PROV_ASSIGN_OR_RETURN(const Host asked,
                          FleetRepository::RequestInspection(write, key, request->repair()));
    const v1::Host before = ToProto(host);
    const v1::Host after = ToProto(asked);
    return Result(after.name(), &before, after, after);
  };
  return ToGrpcStatus(writes_.Run(
      *context, {"/prov.v1.Fleet/InspectHost", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

}  // namespace prov::api
