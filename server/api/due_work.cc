#include "server/api/due_work.h"

#include <fmt/format.h>

#include <atomic>
#include <functional>
#include <map>
#include <vector>

#include "common/log.h"
#include "common/status.h"
#include "server/api/translation.h"
#include "server/api/write_call.h"
#include "server/store/approval_repository.h"

namespace prov::api {
namespace {

using model::Subscriber;
using store::ScheduledChange;
using store::ScheduleRepository;
using store::SubscriberRepository;
using store::WriteTransaction;

constexpr size_t kPage = 200;
constexpr size_t kAtOnce = 16;  // writes that wait for each other's commit
constexpr size_t kMembersInStep = 500;
constexpr size_t kChangesInStep = 10'000;
constexpr std::chrono::minutes kCompactionInterval(1);
constexpr std::chrono::seconds kPauseAfterError(2);
constexpr char kExpiry[] = "provd/expiry";
constexpr char kRemoval[] = "provd/removal";

// Calls `each` with 0 to count - 1, some at a time, so that they share commits.
void SideBySide(size_t count, const std::function<void(size_t)>& each) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) each(i);
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(count, kAtOnce); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
}

absl::StatusOr<bool> Apply(WriteTransaction& write, const ScheduledChange& change, Subscriber& subscriber,
                           const LifecycleOptions& options) {
  if (change.method == kResumeMethod) return Resume(write, subscriber);
  if (change.method == kDeleteMethod) return Close(write, subscriber, options);
  v1::SuspendSubscriberRequest request;
  if (change.method != kSuspendMethod || !request.ParseFromString(change.request)) {
    return absl::InvalidArgumentError("is of a kind that this provd does not know");
  }
  return Suspend(write, subscriber, request.reason(), options);
}

// The audit log tells who asked for it, and that nobody called just now.
store::WriteContext ContextOf(const ScheduledChange& change) {
  store::WriteContext context;
  context.caller = change.caller;
  context.peer = fmt::format("scheduledChanges/{}", change.id);
  context.method = change.method;
  return context;
}

store::WriteContext OwnContext(const char* caller, std::string_view method) {
  store::WriteContext context;
  context.caller = caller;
  context.peer = "provd";
  context.method = std::string(method);
  return context;
}

}  // namespace

DueWork::DueWork(const Parts& parts) : parts_(parts), thread_([this] { Loop(); }) {}

DueWork::~DueWork() { Stop(); }

void DueWork::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool DueWork::Stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void DueWork::Loop() {
  bool failed = false;
  while (!Stopping()) {
    bool more = false;
    absl::Status status = absl::OkStatus();
    for (const auto work :
         {&DueWork::DoScheduled, &DueWork::PurgeExpired, &DueWork::RemoveMembers, &DueWork::CompactChanges}) {
      const absl::StatusOr<bool> done = (this->*work)();
      if (done.ok()) {
        more = more || *done;
      } else {
        status = done.status();
      }
    }
    // The first of a row is news.
    if (!status.ok() && !failed) Log(Level::kWarning, "due_work_waits", {{"error", status}});
    failed = !status.ok();
    if (more && !failed) continue;
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, failed ? std::chrono::milliseconds(kPauseAfterError) : parts_.interval,
                   [this] { return stopping_; });
  }
}

absl::StatusOr<bool> DueWork::DoScheduled() {
  PROV_ASSIGN_OR_RETURN(const std::vector<ScheduledChange> due, parts_.schedule->Due(kPage));
  // Those of one subscriber in their order, different ones side by side.
  std::map<int64_t, std::vector<ScheduledChange>> by_subscriber;
  for (const ScheduledChange& change : due) by_subscriber[change.subscriber_id].push_back(change);
  std::vector<const std::vector<ScheduledChange>*> groups;
  for (const auto& [id, changes] : by_subscriber) groups.push_back(&changes);
  std::mutex mutex;
  absl::Status first = absl::OkStatus();
  SideBySide(groups.size(), [&](size_t i) {
    for (const ScheduledChange& change : *groups[i]) {
      if (Stopping()) return;
      const absl::Status status = DoOne(change);
      if (status.ok()) continue;
      const std::lock_guard lock(mutex);
      if (first.ok()) first = status;
      return;
    }
  });
  PROV_RETURN_IF_ERROR(first);
  return due.size() == kPage;
}

absl::Status DueWork::DoOne(const ScheduledChange& change) {
  const store::WriteContext context = ContextOf(change);
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_RETURN_IF_ERROR(ScheduleRepository::Remove(write, change.id).status());
    PROV_ASSIGN_OR_RETURN(Subscriber subscriber,
                          SubscriberRepository::Find(write, std::to_string(change.subscriber_id)));
    const v1::Subscriber before = ToProto(subscriber);
    PROV_ASSIGN_OR_RETURN(const bool changed, Apply(write, change, subscriber, parts_.lifecycle));
    if (!changed) return Result(before.name(), &before, before, before);
    PROV_ASSIGN_OR_RETURN(const Subscriber saved, SubscriberRepository::Save(write, subscriber));
    const v1::Subscriber after = ToProto(saved);
    return Result(after.name(), &before, after, after);
  };
  const absl::Status status = parts_.writes->Run(context, body).status();
  if (status.ok()) return status;
  if (ReasonOf(status) == "SCHEDULED_CHANGE_UNKNOWN") return absl::OkStatus();  // another provd was quicker
  if (ReasonOf(status) == store::kBlastRadius) {
    NoteStopped(*parts_.writes, context);
    return absl::OkStatus();  // stays where it is, and comes again when the caller may go on
  }
  if (IsRetryable(status)) return status;
  return SetAside(change, status);
}

absl::Status DueWork::SetAside(const ScheduledChange& change, const absl::Status& error) {
  Log(Level::kWarning, "scheduled_change_failed",
      {{"change", change.id}, {"subscriber", change.login}, {"caller", change.caller}, {"error", error}});
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_RETURN_IF_ERROR(ScheduleRepository::SetError(write, change.id, std::string(MessageOf(error))));
    ScheduledChange failed = change;
    failed.error = std::string(MessageOf(error));
    const v1::ScheduledChange before = ToProto(change);
    const v1::ScheduledChange after = ToProto(failed);
    return Result(after.subscriber(), &before, after, after);
  };
  const absl::Status status = parts_.writes->Run(ContextOf(change), body).status();
  return ReasonOf(status) == "SCHEDULED_CHANGE_UNKNOWN" ? absl::OkStatus() : status;
}

absl::StatusOr<bool> DueWork::PurgeExpired() {
  PROV_ASSIGN_OR_RETURN(const std::vector<int64_t> expired, parts_.subscribers->Expired(kExpiry, kPage));
  std::mutex mutex;
  absl::Status first = absl::OkStatus();
  SideBySide(expired.size(), [&](size_t i) {
    if (Stopping()) return;
    const absl::Status status = PurgeOne(expired[i]);
    const std::lock_guard lock(mutex);
    if (first.ok()) first = status;
  });
  PROV_RETURN_IF_ERROR(first);
  return expired.size() == kPage;
}

absl::Status DueWork::PurgeOne(int64_t id) {
  const store::WriteContext context = OwnContext(kExpiry, "/prov.v1.Subscribers/PurgeSubscriber");
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(Subscriber subscriber, SubscriberRepository::Find(write, std::to_string(id)));
    // Undeleted, or purged, since it was looked at.
    const bool expired = subscriber.state == model::State::kClosed && subscriber.expire_time.has_value() &&
                         *subscriber.expire_time <= std::chrono::system_clock::now();
    if (!expired) return absl::CancelledError("not expired any more");
    const v1::Subscriber before = ToProto(subscriber);
    PROV_RETURN_IF_ERROR(Purge(write, subscriber, parts_.lifecycle).status());
    PROV_ASSIGN_OR_RETURN(const Subscriber saved, SubscriberRepository::Save(write, subscriber));
    const v1::Subscriber after = ToProto(saved);
    return Result(after.name(), &before, after, after);
  };
  const absl::Status status = parts_.writes->Run(context, body).status();
  if (absl::IsCancelled(status)) return absl::OkStatus();
  if (ReasonOf(status) == kMailboxMoving) return absl::OkStatus();  // its turn comes when it is there
  if (ReasonOf(status) != store::kBlastRadius) return status;
  NoteStopped(*parts_.writes, context);
  return absl::OkStatus();
}

absl::StatusOr<bool> DueWork::RemoveMembers() {
  PROV_ASSIGN_OR_RETURN(const bool there_are, parts_.lists->HasMembersToRemove());
  if (!there_are) return false;
  const auto body = [](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(const std::string list,
                          store::MailingListRepository::RemoveSomeMembers(write, kMembersInStep));
    return store::WriteResult{.audit = {{"lists/" + list, "", ""}}};
  };
  PROV_RETURN_IF_ERROR(
      parts_.writes->Run(OwnContext(kRemoval, "/prov.v1.MailingLists/DeleteMailingList"), body).status());
  return true;
}

absl::StatusOr<bool> DueWork::CompactChanges() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_compaction_) return false;
  PROV_ASSIGN_OR_RETURN(const bool more, parts_.changes->Compact(parts_.keep_changes, kChangesInStep));
  if (!more) next_compaction_ = now + kCompactionInterval;
  return more;
}

}  // namespace prov::api
