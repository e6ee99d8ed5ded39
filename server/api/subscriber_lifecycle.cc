// The lifecycle of prov.v1.Subscribers, now and on schedule.
#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/page_token.h"
#include "server/api/resource_names.h"
#include "server/api/subscribers_service.h"
#include "server/api/translation.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

using google::protobuf::util::TimeUtil;
using model::Subscriber;
using store::ScheduledChange;
using store::ScheduleRepository;
using store::WriteTransaction;

constexpr int32_t kNanosecondsInSecond = 1'000'000'000;
constexpr std::chrono::hours kMostAhead(5 * 366 * 24);

template <typename Request>
WriteCalls::Options OptionsOf(std::string_view method, const Request& request) {
  return {method, &request, request.request_id(), request.validate_only()};
}

// What is left to do when the time comes.
template <typename Request>
std::string Kept(Request request) {
  request.clear_name();
  request.clear_etag();
  request.clear_request_id();
  request.clear_validate_only();
  request.clear_effective_time();
  return request.SerializeAsString();
}

// Nothing: now.
absl::StatusOr<std::optional<model::Time>> LaterTime(const google::protobuf::Timestamp& time) {
  if (time.seconds() < 0 || time.seconds() > TimeUtil::kTimestampMaxSeconds || time.nanos() < 0 ||
      time.nanos() >= kNanosecondsInSecond) {
    return InvalidField("effective_time", "is no time");
  }
  const auto now = std::chrono::system_clock::now();
  const model::Time then(std::chrono::microseconds(TimeUtil::TimestampToMicroseconds(time)));
  if (then <= now) return std::optional<model::Time>();
  if (then - now > kMostAhead) return InvalidField("effective_time", "is more than five years ahead");
  return std::optional(then);
}

// "1763913600000000/17": of the last one on a page.
struct Place {
  model::Time time;
  int64_t id = 0;
};

std::string PlaceText(const ScheduledChange& change) {
  return fmt::format(
      "{}/{}",
      std::chrono::duration_cast<std::chrono::microseconds>(change.effective_time.time_since_epoch()).count(),
      change.id);
}

Place PlaceOf(const std::string& text) {
  if (text.empty()) return {};
  const size_t slash = text.find('/');
  return {model::Time(std::chrono::microseconds(std::strtoll(text.c_str(), nullptr, 10))),
          slash == std::string::npos ? 0 : std::strtoll(text.c_str() + slash + 1, nullptr, 10)};
}

}  // namespace

template <typename Request>
grpc::Status SubscribersService::RunTimedEdit(grpc::ServerContext* context, EditCall call,
                                              const Request& request, const Edit& edit,
                                              v1::Subscriber* response) {
  if (request.has_effective_time()) {
    const absl::StatusOr<std::optional<model::Time>> later = LaterTime(request.effective_time());
    if (!later.ok()) {
      // Authorisation comes first, as for any wrong field.
      call.prepare = [status = later.status()] { return status; };
    } else if (later->has_value()) {
      call.later = {**later, Kept(request)};
    }
  }
  return RunEdit(context, call, edit, response);
}

absl::StatusOr<store::WriteResult> SubscribersService::Schedule(WriteTransaction& write, const EditCall& call,
                                                                const Subscriber& subscriber) {
  PROV_RETURN_IF_ERROR(NotClosed(subscriber));
  ScheduledChange change;
  change.subscriber_id = subscriber.id;
  change.effective_time = call.later->effective_time;
  change.method = std::string(call.options.method);
  change.request = call.later->request;
  change.caller = std::string(write.caller());
  PROV_RETURN_IF_ERROR(ScheduleRepository::Insert(write, change));
  const v1::Subscriber before = ToProto(subscriber);
  v1::Subscriber after = before;
  PROV_ASSIGN_OR_RETURN(const std::vector<ScheduledChange> scheduled,
                        ScheduleRepository::OfSubscriber(write, subscriber.id));
  for (const ScheduledChange& one : scheduled) *after.add_scheduled_changes() = ToProto(one);
  return Result(after.name(), &before, after, after);
}

grpc::Status SubscribersService::SuspendSubscriber(grpc::ServerContext* context,
                                                   const v1::SuspendSubscriberRequest* request,
                                                   v1::Subscriber* response) {
  const EditCall call = {
      .options = OptionsOf(kSuspendMethod, *request),
      .name = request->name(),
      .etag = request->etag(),
      .prepare = [&] { return model::CheckText("reason", request->reason(), model::kMaxReasonCharacters); }};
  return RunTimedEdit(
      context, call, *request,
      [&](WriteTransaction& write, Subscriber& subscriber) {
        return Suspend(write, subscriber, request->reason(), options_.lifecycle);
      },
      response);
}

grpc::Status SubscribersService::ResumeSubscriber(grpc::ServerContext* context,
                                                  const v1::ResumeSubscriberRequest* request,
                                                  v1::Subscriber* response) {
  const EditCall call = {
      .options = OptionsOf(kResumeMethod, *request), .name = request->name(), .etag = request->etag()};
  return RunTimedEdit(context, call, *request, Resume, response);
}

grpc::Status SubscribersService::DeleteSubscriber(grpc::ServerContext* context,
                                                  const v1::DeleteSubscriberRequest* request,
                                                  v1::Subscriber* response) {
  const EditCall call = {
      .options = OptionsOf(kDeleteMethod, *request), .name = request->name(), .etag = request->etag()};
  return RunTimedEdit(
      context, call, *request,
      [&](WriteTransaction& write, Subscriber& subscriber) {
        return Close(write, subscriber, options_.lifecycle);
      },
      response);
}

grpc::Status SubscribersService::UndeleteSubscriber(grpc::ServerContext* context,
                                                    const v1::UndeleteSubscriberRequest* request,
                                                    v1::Subscriber* response) {
  const EditCall call = {.options = OptionsOf("/prov.v1.Subscribers/UndeleteSubscriber", *request),
                         .name = request->name(),
                         .etag = request->etag()};
  return RunEdit(context, call, Undelete, response);
}

grpc::Status SubscribersService::PurgeSubscriber(grpc::ServerContext* context,
                                                 const v1::PurgeSubscriberRequest* request,
                                                 v1::Subscriber* response) {
  const EditCall call = {.options = OptionsOf("/prov.v1.Subscribers/PurgeSubscriber", *request),
                         .name = request->name(),
                         .etag = request->etag()};
  return RunEdit(
      context, call,
      [&](WriteTransaction& write, Subscriber& subscriber) {
        return Purge(write, subscriber, options_.lifecycle);
      },
      response);
}

grpc::Status SubscribersService::ListScheduledChanges(grpc::ServerContext* context,
                                                      const v1::ListScheduledChangesRequest* request,
                                                      v1::ListScheduledChangesResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(
        writes_.authoriser().Authorise(*context, "/prov.v1.Subscribers/ListScheduledChanges").status());
    PROV_ASSIGN_OR_RETURN(const size_t page, PageSize(request->page_size()));
    const std::string token_of = "scheduled " + request->subscriber();
    PROV_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(token_of, request->page_token()));
    int64_t subscriber_id = 0;
    if (!request->subscriber().empty()) {
      PROV_ASSIGN_OR_RETURN(const std::string key, SubscriberKeyOf("subscriber", request->subscriber()));
      PROV_ASSIGN_OR_RETURN(const Subscriber subscriber, subscribers_.Get(key));
      subscriber_id = subscriber.id;
    }
    const Place place = PlaceOf(after);
    PROV_ASSIGN_OR_RETURN(std::vector<ScheduledChange> changes,
                          schedule_.List(subscriber_id, place.time, place.id, page + 1));
    const bool more = changes.size() > page;
    if (more) changes.resize(page);
    for (const ScheduledChange& change : changes) *response->add_scheduled_changes() = ToProto(change);
    if (more) response->set_next_page_token(MakePageToken(token_of, PlaceText(changes.back())));
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

grpc::Status SubscribersService::CancelScheduledChange(grpc::ServerContext* context,
                                                       const v1::CancelScheduledChangeRequest* request,
                                                       v1::CancelScheduledChangeResponse* response) {
  int64_t id = 0;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(id, ScheduledChangeIdOf("name", request->name()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(const ScheduledChange removed, ScheduleRepository::Remove(write, id));
    const v1::ScheduledChange before = ToProto(removed);
    const v1::CancelScheduledChangeResponse done;
    return Result(before.subscriber(), &before, done, done);
  };
  return ToGrpcStatus(writes_.Run(*context, OptionsOf("/prov.v1.Subscribers/CancelScheduledChange", *request),
                                  prepare, body, response));
}

}  // namespace prov::api
