#include "server/api/mailbox_moves_service.h"

#include <fmt/format.h>

#include <optional>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/resource_names.h"
#include "server/api/translation.h"

namespace prov::api {
namespace {

using model::MailboxMove;
using model::MoveState;
using store::MailboxMoveRepository;
using Request = v1::ReportMailboxMoveRequest;

constexpr std::string_view kMethod = "/prov.v1.MailboxMoves/ReportMailboxMove";
constexpr size_t kMaxErrorOctets = 1000;

absl::Status Check(const Request& request) {
  if (request.octets_copied() < 0) return InvalidField("octets_copied", "is below 0");
  if (request.octets_total() < 0) return InvalidField("octets_total", "is below 0");
  if (request.error().size() > kMaxErrorOctets)
    return InvalidField("error", fmt::format("is longer than {} octets", kMaxErrorOctets));
  if (request.step() < Request::UNDER_WAY || request.step() > Request::ARRIVED)
    return InvalidField("step", "is required");
  return absl::OkStatus();
}

// Where a report takes a move that stands at `state`; nothing: nowhere, as with a report that comes again.
std::optional<MoveState> Next(MoveState state, Request::Step step) {
  if (state == MoveState::kCopying && step == Request::COPIED) return MoveState::kSwitching;
  if (state == MoveState::kSwitching && step == Request::ARRIVED) return MoveState::kDone;
  return std::nullopt;
}

}  // namespace

grpc::Status MailboxMovesService::ReportMailboxMove(grpc::ServerContext* context, const Request* request,
                                                    v1::ReportMailboxMoveResponse* response) {
  const auto report = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const Caller caller, writes_.authoriser().Authorise(*context, kMethod));
    PROV_RETURN_IF_ERROR(Check(*request));
    PROV_ASSIGN_OR_RETURN(const int64_t id, MailboxMoveIdOf("name", request->name()));
    PROV_ASSIGN_OR_RETURN(const MailboxMove known,
                          moves_.RecordProgress(id, caller.name, request->octets_copied(),
                                                request->octets_total(), request->error()));
    response->set_state(ToProto(known.state));
    if (!Next(known.state, request->step())) return absl::OkStatus();
    const auto body = [&](store::WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
      PROV_ASSIGN_OR_RETURN(const MailboxMove move, MailboxMoveRepository::Find(write, id));
      const std::optional<MoveState> next = Next(move.state, request->step());
      if (!next) return absl::CancelledError("another host's report was quicker, or it was cancelled");
      PROV_ASSIGN_OR_RETURN(const MailboxMove moved, MailboxMoveRepository::SetState(write, move, *next));
      v1::ReportMailboxMoveResponse answer;
      answer.set_state(ToProto(moved.state));
      const v1::MailboxMove before = ToProto(move);
      return Result(before.name(), &before, ToProto(moved), answer);
    };
    const absl::Status status = writes_.Run(
        *context, {kMethod, request, "", false}, [] { return absl::OkStatus(); }, body, response);
    // The next report, or the host's view, tells what became of it.
    return absl::IsCancelled(status) ? absl::OkStatus() : status;
  };
  return ToGrpcStatus(report());
}

}  // namespace prov::api
