// Eviction and ban of hosts: prov.v1.Fleet.
#include <fmt/format.h>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/fleet_service.h"
#include "server/api/resource_names.h"
#include "server/api/translation.h"
#include "server/model/validate.h"
#include "server/store/certificate_repository.h"

namespace prov::api {
namespace {

using model::Host;
using model::HostState;
using store::CertificateRepository;
using store::FleetRepository;
using store::WriteTransaction;

}  // namespace

template <typename Request>
grpc::Status FleetService::Withdraw(grpc::ServerContext* context, std::string_view method,
                                    const Request& request, HostState to, v1::Host* response) {
  std::string key;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(key, HostKeyOf("name", request.name()));
    return model::CheckText("reason", request.reason(), model::kMaxReasonCharacters);
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(Host host, FleetRepository::FindHost(write, key));
    const v1::Host before = ToProto(host);
    // An operator who asks again may have heard of a token or a certificate that should not be: void them
    // too.
    CertificateRepository::ForgetToken(write, key);
    CertificateRepository::RevokeAllOf(
        write, "agent/" + key,
        request.reason().empty() ? std::string(model::HostStateName(to)) : request.reason());
    if (host.state == to) return Result(before.name(), &before, before, before);
    if (host.state == HostState::kBanned) {
      return FieldError(absl::StatusCode::kFailedPrecondition, "name", "HOST_BANNED",
                        fmt::format("{} is banned, and that is for good", host.id));
    }
    host.state = to;
    PROV_ASSIGN_OR_RETURN(const Host saved, FleetRepository::SaveHost(write, host));
    const v1::Host after = ToProto(saved);
    return Result(after.name(), &before, after, after);
  };
  const absl::Status status = writes_.Run(
      *context, {method, &request, request.request_id(), request.validate_only()}, prepare, body, response);
  if (status.ok() && trust_changed_) trust_changed_();
  return ToGrpcStatus(status);
}

grpc::Status FleetService::EvictHost(grpc::ServerContext* context, const v1::EvictHostRequest* request,
                                     v1::Host* response) {
  return Withdraw(context, "/prov.v1.Fleet/EvictHost", *request, HostState::kEvicted, response);
}

grpc::Status FleetService::BanHost(grpc::ServerContext* context, const v1::BanHostRequest* request,
                                   v1::Host* response) {
  return Withdraw(context, "/prov.v1.Fleet/BanHost", *request, HostState::kBanned, response);
}

}  // namespace prov::api
