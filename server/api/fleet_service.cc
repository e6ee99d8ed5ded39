#include "server/api/fleet_service.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/page_token.h"
#include "server/api/translation.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

using model::Host;
using model::Pool;
using store::FleetRepository;
using store::WriteTransaction;

constexpr int kMaxPoolsOfHost = 16;

absl::StatusOr<Pool> PoolOf(const v1::Pool& proto) {
  Pool pool;
  PROV_ASSIGN_OR_RETURN(pool.id, PoolKeyOf("pool.name", proto.name()));
  PROV_ASSIGN_OR_RETURN(pool.role, RoleFromProto(proto.role()));
  PROV_RETURN_IF_ERROR(model::CheckWeight("pool.weight", proto.weight()));
  pool.weight = proto.weight();
  return pool;
}

absl::StatusOr<Host> HostOf(const v1::Host& proto) {
  Host host;
  PROV_ASSIGN_OR_RETURN(host.id, HostKeyOf("host.name", proto.name()));
  PROV_RETURN_IF_ERROR(model::CheckWeight("host.weight", proto.weight()));
  host.weight = proto.weight();
  if (proto.pools_size() > kMaxPoolsOfHost) return InvalidField("host.pools", "has too many pools");
  std::set<std::string> pools;
  for (const std::string& name : proto.pools()) {
    PROV_ASSIGN_OR_RETURN(std::string id, PoolKeyOf("host.pools", name));
    pools.insert(std::move(id));
  }
  if (pools.empty())
    return InvalidField("host.pools", "is required: the pool or pools that the host belongs to");
  host.pools.assign(pools.begin(), pools.end());
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

}  // namespace

grpc::Status FleetService::CreatePool(grpc::ServerContext* context, const v1::CreatePoolRequest* request,
                                      v1::Pool* response) {
  Pool wanted;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(wanted, PoolOf(request->pool()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(const Pool created, FleetRepository::InsertPool(write, wanted));
    const v1::Pool proto = ToProto(created);
    return Result(proto.name(), nullptr, proto, proto);
  };
  return ToGrpcStatus(writes_.Run(
      *context, {"/prov.v1.Fleet/CreatePool", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status FleetService::GetPool(grpc::ServerContext* context, const v1::GetPoolRequest* request,
                                   v1::Pool* response) {
  const auto get = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(writes_.authoriser().Authorise(*context, "/prov.v1.Fleet/GetPool").status());
    PROV_ASSIGN_OR_RETURN(const std::string key, PoolKeyOf("name", request->name()));
    PROV_ASSIGN_OR_RETURN(const Pool pool, fleet_.GetPool(key));
    *response = ToProto(pool);
    return absl::OkStatus();
  };
  return ToGrpcStatus(get());
}

grpc::Status FleetService::ListPools(grpc::ServerContext* context, const v1::ListPoolsRequest* request,
                                     v1::ListPoolsResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(writes_.authoriser().Authorise(*context, "/prov.v1.Fleet/ListPools").status());
    PROV_ASSIGN_OR_RETURN(const size_t page, PageSize(request->page_size()));
    PROV_ASSIGN_OR_RETURN(const std::string after, ReadPageToken("pools", request->page_token()));
    PROV_ASSIGN_OR_RETURN(std::vector<Pool> pools, fleet_.ListPools(after, page + 1));
    const bool more = pools.size() > page;
    if (more) pools.resize(page);
    for (const Pool& pool : pools) *response->add_pools() = ToProto(pool);
    if (more) response->set_next_page_token(MakePageToken("pools", pools.back().id));
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

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

}  // namespace prov::api
