// Pools of prov.v1.Fleet.
#include <fmt/format.h>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/field_mask.h"
#include "server/api/fleet_service.h"
#include "server/api/page_token.h"
#include "server/api/resource_names.h"
#include "server/api/translation.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

using model::Pool;
using store::FleetRepository;
using store::WriteTransaction;

absl::StatusOr<Pool> PoolOf(const v1::Pool& proto) {
  Pool pool;
  PROV_ASSIGN_OR_RETURN(pool.id, PoolKeyOf("pool.name", proto.name()));
  PROV_ASSIGN_OR_RETURN(pool.role, RoleFromProto(proto.role()));
  PROV_RETURN_IF_ERROR(model::CheckWeight("pool.weight", proto.weight()));
  pool.weight = proto.weight();
  return pool;
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

grpc::Status FleetService::UpdatePool(grpc::ServerContext* context, const v1::UpdatePoolRequest* request,
                                      v1::Pool* response) {
  const v1::Pool& given = request->pool();
  std::string key;
  const auto prepare = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(CheckMask(request->update_mask(), {"weight"}));
    PROV_ASSIGN_OR_RETURN(key, PoolKeyOf("pool.name", given.name()));
    return model::CheckWeight("pool.weight", given.weight());
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(Pool pool, FleetRepository::FindPool(write, key));
    PROV_RETURN_IF_ERROR(CheckEtag(given.etag(), pool.revision));
    const v1::Pool before = ToProto(pool);
    if (IsNamed(request->update_mask(), "weight", given.weight() != 0)) pool.weight = given.weight();
    PROV_ASSIGN_OR_RETURN(const Pool saved, FleetRepository::SavePool(write, pool));
    const v1::Pool after = ToProto(saved);
    return Result(after.name(), &before, after, after);
  };
  return ToGrpcStatus(writes_.Run(
      *context, {"/prov.v1.Fleet/UpdatePool", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status FleetService::DeletePool(grpc::ServerContext* context, const v1::DeletePoolRequest* request,
                                      v1::DeletePoolResponse* response) {
  std::string key;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(key, PoolKeyOf("name", request->name()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(const Pool pool, FleetRepository::FindPool(write, key));
    PROV_RETURN_IF_ERROR(CheckEtag(request->etag(), pool.revision));
    PROV_RETURN_IF_ERROR(FleetRepository::RemovePool(write, key));
    const v1::Pool before = ToProto(pool);
    v1::DeletePoolResponse removed;
    removed.set_revision(write.revision());
    return Result(before.name(), &before, removed, removed);
  };
  return ToGrpcStatus(writes_.Run(
      *context, {"/prov.v1.Fleet/DeletePool", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

}  // namespace prov::api
