#include "server/api/approvals_service.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/resource_names.h"
#include "server/api/translation.h"
#include "server/model/validate.h"
#include "server/store/fleet_repository.h"

namespace prov::api {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int64_t kMostChanges = 1'000'000'000;
constexpr std::chrono::seconds kUsualDuration = std::chrono::hours(1);
constexpr std::chrono::seconds kLongestDuration = std::chrono::hours(24);
constexpr size_t kMostStopped = 1000;
constexpr size_t kMaxTargetOctets = 300;

google::protobuf::Timestamp ToTimestamp(model::Time time) {
  return TimeUtil::MicrosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

absl::StatusOr<std::chrono::seconds> DurationOf(const v1::ApproveChangesRequest& request) {
  if (!request.has_duration()) return kUsualDuration;
  const std::chrono::seconds duration(request.duration().seconds());
  if (duration < std::chrono::seconds(1) || duration > kLongestDuration) {
    return InvalidField("duration", "must be from a second to a day");
  }
  return duration;
}

// Whether it is of a form that there is; a host is looked up when it is its turn.
absl::Status CheckTarget(const std::string& target) {
  PROV_RETURN_IF_ERROR(model::CheckText("target", target, kMaxTargetOctets));
  if (target == "directory") return absl::OkStatus();
  if (target.starts_with("hosts/")) return HostKeyOf("target", target).status();
  // "api/role/name".
  const size_t role = target.find('/');
  const size_t name = role == std::string::npos ? role : target.find('/', role + 1);
  if (target.starts_with("api/") && name != std::string::npos && name > role + 1 &&
      name + 1 < target.size()) {
    return absl::OkStatus();
  }
  return InvalidField("target", fmt::format("{} is none of api/ROLE/NAME, directory, hosts/NAME; provctl "
                                            "list-stopped and provctl status show what waits",
                                            model::Echo(target)));
}

v1::Approval ToProto(const store::Approval& approval) {
  v1::Approval proto;
  proto.set_target(approval.target);
  proto.set_changes(approval.changes);
  *proto.mutable_expire_time() = ToTimestamp(approval.expire_time);
  proto.set_caller(approval.caller);
  return proto;
}

}  // namespace

grpc::Status ApprovalsService::ApproveChanges(grpc::ServerContext* context,
                                              const v1::ApproveChangesRequest* request,
                                              v1::Approval* response) {
  std::chrono::seconds duration{0};
  const auto prepare = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(CheckTarget(request->target()));
    if (request->changes() < 1 || request->changes() > kMostChanges) {
      return InvalidField("changes", fmt::format("must be from 1 to {}", kMostChanges));
    }
    PROV_ASSIGN_OR_RETURN(duration, DurationOf(*request));
    return absl::OkStatus();
  };
  const auto body = [&](store::WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    if (request->target().starts_with("hosts/")) {
      PROV_ASSIGN_OR_RETURN(const std::string host, HostKeyOf("target", request->target()));
      PROV_RETURN_IF_ERROR(store::FleetRepository::FindHost(write, host).status());
    }
    PROV_ASSIGN_OR_RETURN(
        const store::Approval approval,
        store::ApprovalRepository::Approve(write, request->target(), request->changes(), duration));
    const v1::Approval proto = ToProto(approval);
    return Result(proto.target(), nullptr, proto, proto);
  };
  return ToGrpcStatus(writes_.Run(
      *context,
      {"/prov.v1.Approvals/ApproveChanges", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status ApprovalsService::ListStoppedCallers(grpc::ServerContext* context,
                                                  const v1::ListStoppedCallersRequest*,
                                                  v1::ListStoppedCallersResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(
        writes_.authoriser().Authorise(*context, "/prov.v1.Approvals/ListStoppedCallers").status());
    PROV_ASSIGN_OR_RETURN(const std::vector<store::StoppedCaller> stopped, approvals_.Stopped(kMostStopped));
    for (const store::StoppedCaller& one : stopped) {
      v1::StoppedCaller* proto = response->add_stopped_callers();
      proto->set_target("api/" + one.caller);
      proto->set_changes(one.changes);
      *proto->mutable_stopped_time() = ToTimestamp(one.stopped_time);
    }
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

grpc::Status ApprovalsService::GetHostApproval(grpc::ServerContext* context,
                                               const v1::GetHostApprovalRequest*,
                                               v1::HostApproval* response) {
  const auto get = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const Caller caller,
                          writes_.authoriser().Authorise(*context, "/prov.v1.Approvals/GetHostApproval"));
    // The certificate says which host it is.
    PROV_ASSIGN_OR_RETURN(const uint64_t changes, approvals_.Approved("hosts/" + caller.name));
    response->set_changes(static_cast<int64_t>(changes));
    return absl::OkStatus();
  };
  return ToGrpcStatus(get());
}

}  // namespace prov::api
