#include "server/api/lifecycle_steps.h"

#include <fmt/format.h>

#include "common/status.h"
#include "server/store/approval_repository.h"
#include "server/store/mailbox_move_repository.h"
#include "server/store/schedule_repository.h"
#include "server/store/subscriber_repository.h"
#include "server/store/web_name_repository.h"

namespace prov::api {
namespace {

using model::State;
using model::Subscriber;
using store::ApprovalRepository;
using store::WriteTransaction;

absl::Status WrongState(std::string_view reason, std::string_view description) {
  return FieldError(absl::StatusCode::kFailedPrecondition, "name", reason, description);
}

// The mail of a purged one goes nowhere any more; but two pools that hold parts of it must become one first.
absl::Status EndMove(WriteTransaction& write, const Subscriber& subscriber) {
  using store::MailboxMoveRepository;
  PROV_ASSIGN_OR_RETURN(const auto move, MailboxMoveRepository::FindOpen(write, subscriber.id));
  if (!move) return absl::OkStatus();
  if (move->state == model::MoveState::kCopying) {
    return MailboxMoveRepository::SetState(write, *move, model::MoveState::kCancelled).status();
  }
  return WrongState(kMailboxMoving, fmt::format("the mailbox of {} is on its way to pools/{} (moves/{}); try "
                                                "again when it is there",
                                                subscriber.login, move->to_pool, move->id));
}

}  // namespace

absl::Status NotClosed(const Subscriber& subscriber) {
  if (subscriber.state == State::kActive || subscriber.state == State::kSuspended) return absl::OkStatus();
  return WrongState("SUBSCRIBER_CLOSED",
                    fmt::format("{} is {}; provctl undelete-user brings a closed one back", subscriber.login,
                                model::StateName(subscriber.state)));
}

absl::StatusOr<bool> Suspend(WriteTransaction& write, Subscriber& subscriber, const std::string& reason,
                             const LifecycleOptions& options) {
  PROV_RETURN_IF_ERROR(NotClosed(subscriber));
  if (subscriber.state == State::kSuspended && subscriber.suspend_reason == reason) return false;
  if (subscriber.state != State::kSuspended) {
    PROV_RETURN_IF_ERROR(ApprovalRepository::Count(write, options.harm));
  }
  subscriber.state = State::kSuspended;
  subscriber.suspend_reason = reason;
  subscriber.credential_version = write.revision();
  return true;
}

absl::StatusOr<bool> Resume(WriteTransaction& write, Subscriber& subscriber) {
  PROV_RETURN_IF_ERROR(NotClosed(subscriber));
  if (subscriber.state == State::kActive) return false;
  subscriber.state = State::kActive;
  subscriber.suspend_reason.clear();
  subscriber.credential_version = write.revision();
  return true;
}

absl::StatusOr<bool> Close(WriteTransaction& write, Subscriber& subscriber, const LifecycleOptions& options) {
  if (subscriber.state == State::kClosed) return false;
  PROV_RETURN_IF_ERROR(NotClosed(subscriber));
  PROV_RETURN_IF_ERROR(ApprovalRepository::Count(write, options.harm));
  subscriber.state_before_close = subscriber.state;
  subscriber.state = State::kClosed;
  subscriber.delete_time = std::chrono::system_clock::now();
  subscriber.expire_time = *subscriber.delete_time + options.undelete;
  subscriber.credential_version = write.revision();
  return true;
}

absl::StatusOr<bool> Undelete(WriteTransaction& write, Subscriber& subscriber) {
  if (subscriber.state != State::kClosed) {
    return WrongState("SUBSCRIBER_NOT_CLOSED",
                      fmt::format("{} is {}, so there is nothing to undelete", subscriber.login,
                                  model::StateName(subscriber.state)));
  }
  subscriber.state = subscriber.state_before_close;
  subscriber.delete_time.reset();
  subscriber.expire_time.reset();
  subscriber.credential_version = write.revision();
  return true;
}

absl::StatusOr<bool> Purge(WriteTransaction& write, Subscriber& subscriber, const LifecycleOptions& options) {
  if (subscriber.state == State::kPurged) return false;
  if (subscriber.state != State::kClosed) {
    return WrongState("SUBSCRIBER_NOT_CLOSED", fmt::format("{} is {}; delete it first", subscriber.login,
                                                           model::StateName(subscriber.state)));
  }
  PROV_RETURN_IF_ERROR(ApprovalRepository::Count(write, options.harm));
  PROV_RETURN_IF_ERROR(EndMove(write, subscriber));
  PROV_RETURN_IF_ERROR(
      store::SubscriberRepository::ReserveAddresses(write, subscriber, options.reserve_days));
  PROV_RETURN_IF_ERROR(store::WebNameRepository::Reserve(write, subscriber.id, options.reserve_days));
  PROV_RETURN_IF_ERROR(store::ScheduleRepository::RemoveAllOf(write, subscriber.id));
  subscriber.state = State::kPurged;
  subscriber.password_hash.clear();
  subscriber.credential_version = write.revision();
  return true;
}

}  // namespace prov::api
