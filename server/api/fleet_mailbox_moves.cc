// Mailbox moves of prov.v1.Fleet: beginning, looking, calling off. Hosts do the rest (mailbox_moves_service).
#include <fmt/format.h>

#include <charconv>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/fleet_service.h"
#include "server/api/page_token.h"
#include "server/api/resource_names.h"
#include "server/api/translation.h"
#include "server/store/subscriber_repository.h"

namespace prov::api {
namespace {

using model::MailboxMove;
using model::MoveState;
using model::Subscriber;
using store::MailboxMoveRepository;
using store::WriteTransaction;

absl::Status WrongState(std::string_view reason, std::string_view description) {
  return FieldError(absl::StatusCode::kFailedPrecondition, "name", reason, description);
}

absl::Status CheckTarget(WriteTransaction& write, const Subscriber& subscriber, const std::string& to_pool) {
  const absl::StatusOr<model::Pool> pool = store::FleetRepository::FindPool(write, to_pool);
  if (!pool.ok() || pool->role != model::Role::kStore) {
    return FieldError(
        absl::StatusCode::kNotFound, "to_pool", "POOL_UNKNOWN",
        fmt::format("{} is not a pool of role store; provctl list-pools shows those there are", to_pool));
  }
  if (subscriber.state == model::State::kPurged) {
    return FieldError(absl::StatusCode::kFailedPrecondition, "subscriber", "SUBSCRIBER_PURGED",
                      fmt::format("{} is purged, so there is no mailbox to move", subscriber.login));
  }
  PROV_ASSIGN_OR_RETURN(const auto open, MailboxMoveRepository::FindOpen(write, subscriber.id));
  if (open) {
    return FieldError(absl::StatusCode::kAlreadyExists, "subscriber", "MOVE_OPEN",
                      fmt::format("moves/{} takes it to pools/{} already; provctl show-move {} tells how far",
                                  open->id, open->to_pool, open->id));
  }
  if (subscriber.store_pool == to_pool) {
    return FieldError(absl::StatusCode::kFailedPrecondition, "to_pool", "MAILBOX_THERE",
                      fmt::format("the mailbox of {} is on pools/{} already", subscriber.login, to_pool));
  }
  return absl::OkStatus();
}

}  // namespace

grpc::Status FleetService::MoveMailbox(grpc::ServerContext* context, const v1::MoveMailboxRequest* request,
                                       v1::MailboxMove* response) {
  std::string subscriber_key, to_pool;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(subscriber_key, SubscriberKeyOf("subscriber", request->subscriber()));
    PROV_ASSIGN_OR_RETURN(to_pool, PoolKeyOf("to_pool", request->to_pool()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(const Subscriber subscriber,
                          store::SubscriberRepository::Find(write, subscriber_key));
    PROV_RETURN_IF_ERROR(CheckTarget(write, subscriber, to_pool));
    MailboxMove wanted;
    wanted.subscriber_id = subscriber.id;
    wanted.from_pool = subscriber.store_pool;
    wanted.to_pool = to_pool;
    PROV_ASSIGN_OR_RETURN(const MailboxMove begun, MailboxMoveRepository::Insert(write, wanted));
    const v1::MailboxMove proto = ToProto(begun);
    return Result(proto.name(), nullptr, proto, proto);
  };
  return ToGrpcStatus(writes_.Run(
      *context, {"/prov.v1.Fleet/MoveMailbox", request, request->request_id(), request->validate_only()},
      prepare, body, response));
}

grpc::Status FleetService::GetMailboxMove(grpc::ServerContext* context,
                                          const v1::GetMailboxMoveRequest* request,
                                          v1::MailboxMove* response) {
  const auto get = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(writes_.authoriser().Authorise(*context, "/prov.v1.Fleet/GetMailboxMove").status());
    PROV_ASSIGN_OR_RETURN(const int64_t id, MailboxMoveIdOf("name", request->name()));
    PROV_ASSIGN_OR_RETURN(const MailboxMove move, moves_.Get(id));
    *response = ToProto(move);
    return absl::OkStatus();
  };
  return ToGrpcStatus(get());
}

grpc::Status FleetService::ListMailboxMoves(grpc::ServerContext* context,
                                            const v1::ListMailboxMovesRequest* request,
                                            v1::ListMailboxMovesResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(
        writes_.authoriser().Authorise(*context, "/prov.v1.Fleet/ListMailboxMoves").status());
    PROV_ASSIGN_OR_RETURN(const size_t page, PageSize(request->page_size()));
    const std::string_view token_of = request->open_only() ? "open moves" : "moves";
    PROV_ASSIGN_OR_RETURN(const std::string last, ReadPageToken(token_of, request->page_token()));
    int64_t before = 0;
    std::from_chars(last.data(), last.data() + last.size(), before);
    PROV_ASSIGN_OR_RETURN(std::vector<MailboxMove> moves,
                          moves_.List(before, request->open_only(), page + 1));
    const bool more = moves.size() > page;
    if (more) moves.resize(page);
    for (const MailboxMove& move : moves) *response->add_moves() = ToProto(move);
    if (more) response->set_next_page_token(MakePageToken(token_of, std::to_string(moves.back().id)));
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

grpc::Status FleetService::CancelMailboxMove(grpc::ServerContext* context,
                                             const v1::CancelMailboxMoveRequest* request,
                                             v1::MailboxMove* response) {
  int64_t id = 0;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(id, MailboxMoveIdOf("name", request->name()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(const MailboxMove move, MailboxMoveRepository::Find(write, id));
    const v1::MailboxMove before = ToProto(move);
    if (move.state == MoveState::kCancelled) return Result(before.name(), &before, before, before);
    if (move.state == MoveState::kDone) {
      return WrongState("MOVE_DONE", fmt::format("moves/{} is done; provctl move-mailbox takes it back", id));
    }
    if (move.state == MoveState::kSwitching) {
      return WrongState("MOVE_SWITCHING",
                        fmt::format("mail goes to pools/{} already; let moves/{} end, then move it back",
                                    move.to_pool, id));
    }
    PROV_ASSIGN_OR_RETURN(const MailboxMove cancelled,
                          MailboxMoveRepository::SetState(write, move, MoveState::kCancelled));
    const v1::MailboxMove after = ToProto(cancelled);
    return Result(after.name(), &before, after, after);
  };
  return ToGrpcStatus(writes_.Run(
      *context,
      {"/prov.v1.Fleet/CancelMailboxMove", request, request->request_id(), request->validate_only()}, prepare,
      body, response));
}

}  // namespace prov::api
