#include "server/api/mail_queues_service.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/grpc_status.h"
#include "common/mail_address.h"
#include "common/status.h"
#include "server/api/mail_trace.h"
#include "server/api/resource_names.h"
#include "server/api/write_call.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int kMostIds = 1000;
constexpr size_t kMaxTextOctets = 320;  // of an address with some room
constexpr int kDefaultListed = 1000, kMostListed = 1'000'000;
constexpr int kDefaultTraced = 100, kMostTraced = 1000;
constexpr size_t kEventsInResponse = 500;
constexpr int64_t kDefaultSinceSeconds = 3600;

absl::Status Gone() { return absl::CancelledError("the caller has gone"); }

bool IsId(const std::string& text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == text.npos;
}

absl::Status CheckSelection(const v1::QueueSelection& selection) {
  if (selection.ids_size() > kMostIds)
    return InvalidField("selection.ids",
                        fmt::format("are {}; name at most {}", selection.ids_size(), kMostIds));
  for (const std::string& id : selection.ids()) {
    if (!IsId(id)) return InvalidField("selection.ids", "one is no id, as provctl queue show prints them");
  }
  bool narrow = selection.ids_size() > 0;
  for (const auto& [field, text] : {std::pair("selection.recipient", &selection.recipient()),
                                    std::pair("selection.recipient_domain", &selection.recipient_domain()),
                                    std::pair("selection.sender", &selection.sender())}) {
    if (text->size() > kMaxTextOctets) return InvalidField(field, "is too long");
    narrow = narrow || !text->empty();
  }
  if (narrow == selection.all())
    return InvalidField("selection", narrow ? "all is all: nothing else goes with it"
                                            : "names nothing: ids, a recipient, a sender, or all");
  return absl::OkStatus();
}

absl::StatusOr<int> Limit(int asked, int usual, int most) {
  if (asked < 0 || asked > most) return InvalidField("limit", fmt::format("is not from 0 to {}", most));
  return asked == 0 ? usual : asked;
}

// What the hosts are asked for.
absl::StatusOr<v1::ReadTraceRequest> ReadRequestOf(const v1::TraceMailRequest& request) {
  v1::ReadTraceRequest read;
  if (request.address().empty() == request.trace().empty())
    return InvalidField("address", "or a trace id is required, and not both");
  if (request.address().size() > kMaxTextOctets) return InvalidField("address", "is too long");
  if (!request.trace().empty() && !IsId(request.trace())) return InvalidField("trace", "is no trace id");
  PROV_ASSIGN_OR_RETURN(const int limit, Limit(request.limit(), kDefaultTraced, kMostTraced));
  read.set_limit(limit);
  read.set_address(FoldAddress(request.address()));
  if (!request.trace().empty()) read.add_traces(request.trace());
  *read.mutable_since() =
      request.has_since()
          ? request.since()
          : TimeUtil::SecondsToTimestamp(std::chrono::system_clock::to_time_t(SystemClock().Now()) -
                                         kDefaultSinceSeconds);
  return read;
}

}  // namespace

// One of the calls that may be under way.
class MailQueuesService::Turn {
 public:
  explicit Turn(std::atomic<int>& calls) : calls_(calls), mine_(++calls <= kMostQueueCalls) {}
  Turn(const Turn&) = delete;
  ~Turn() { --calls_; }
  absl::Status status() const {
    return mine_ ? absl::OkStatus()
                 : absl::ResourceExhaustedError("too many ask hosts just now; try again in a moment");
  }

 private:
  std::atomic<int>& calls_;
  const bool mine_;
};

grpc::Status MailQueuesService::ListQueuedMessages(
    grpc::ServerContext* context, const v1::ListQueuedMessagesRequest* request,
    grpc::ServerWriter<v1::ListQueuedMessagesResponse>* writer) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(authoriser_.Authorise(*context, "/prov.v1.MailQueues/ListQueuedMessages").status());
    const Turn turn(calls_);
    PROV_RETURN_IF_ERROR(turn.status());
    PROV_ASSIGN_OR_RETURN(const std::string key, HostKeyOf("name", request->name()));
    PROV_RETURN_IF_ERROR(CheckSelection(request->selection()));
    v1::ListQueueRequest asked;
    PROV_ASSIGN_OR_RETURN(const int limit, Limit(request->limit(), kDefaultListed, kMostListed));
    asked.set_limit(limit);
    *asked.mutable_selection() = request->selection();
    PROV_ASSIGN_OR_RETURN(const model::Host host, dialling_.FindHost("name", key));
    PROV_ASSIGN_OR_RETURN(const auto stub, dialling_.Connect(host));
    const auto call = HostDialling::ContextFor(*context);
    const auto stream = stub->ListQueue(call.get(), asked);
    v1::ListQueuedMessagesResponse page;
    while (stream->Read(&page)) {
      if (writer->Write(page)) continue;
      call->TryCancel();
      stream->Finish();
      return Gone();
    }
    return HostDialling::Explain(host, FromGrpcStatus(stream->Finish()));
  };
  return ToGrpcStatus(list());
}

absl::Status MailQueuesService::Change(grpc::ServerContext& context, std::string_view method,
                                       v1::ChangeQueueRequest::Action action,
                                       const v1::ChangeQueuedMessagesRequest& request,
                                       v1::ChangeQueuedMessagesResponse& response) {
  PROV_ASSIGN_OR_RETURN(const Caller caller, authoriser_.Authorise(context, method));
  const Turn turn(calls_);
  PROV_RETURN_IF_ERROR(turn.status());
  PROV_RETURN_IF_ERROR(model::CheckRequestId(request.request_id()));
  PROV_ASSIGN_OR_RETURN(const std::string key, HostKeyOf("name", request.name()));
  PROV_RETURN_IF_ERROR(CheckSelection(request.selection()));
  PROV_ASSIGN_OR_RETURN(const model::Host host, dialling_.FindHost("name", key));
  PROV_ASSIGN_OR_RETURN(const auto stub, dialling_.Connect(host));
  // Before it is done: nothing happens of which there is no record.
  if (!request.validate_only())
    PROV_RETURN_IF_ERROR(Record(caller, method, "hosts/" + key, request.request_id(), request));
  v1::ChangeQueueRequest asked;
  asked.set_action(action);
  *asked.mutable_selection() = request.selection();
  asked.set_caller(caller.ToString());
  asked.set_validate_only(request.validate_only());
  const auto call = HostDialling::ContextFor(context);
  return HostDialling::Explain(host, FromGrpcStatus(stub->ChangeQueue(call.get(), asked, &response)));
}

grpc::Status MailQueuesService::HoldQueuedMessages(grpc::ServerContext* context,
                                                   const v1::ChangeQueuedMessagesRequest* request,
                                                   v1::ChangeQueuedMessagesResponse* response) {
  return ToGrpcStatus(Change(*context, "/prov.v1.MailQueues/HoldQueuedMessages", v1::ChangeQueueRequest::HOLD,
                             *request, *response));
}

grpc::Status MailQueuesService::ReleaseQueuedMessages(grpc::ServerContext* context,
                                                      const v1::ChangeQueuedMessagesRequest* request,
                                                      v1::ChangeQueuedMessagesResponse* response) {
  return ToGrpcStatus(Change(*context, "/prov.v1.MailQueues/ReleaseQueuedMessages",
                             v1::ChangeQueueRequest::RELEASE, *request, *response));
}

grpc::Status MailQueuesService::DropQueuedMessages(grpc::ServerContext* context,
                                                   const v1::ChangeQueuedMessagesRequest* request,
                                                   v1::ChangeQueuedMessagesResponse* response) {
  return ToGrpcStatus(Change(*context, "/prov.v1.MailQueues/DropQueuedMessages", v1::ChangeQueueRequest::DROP,
                             *request, *response));
}

grpc::Status MailQueuesService::FlushQueuedMessages(grpc::ServerContext* context,
                                                    const v1::ChangeQueuedMessagesRequest* request,
                                                    v1::ChangeQueuedMessagesResponse* response) {
  return ToGrpcStatus(Change(*context, "/prov.v1.MailQueues/FlushQueuedMessages",
                             v1::ChangeQueueRequest::FLUSH, *request, *response));
}

grpc::Status MailQueuesService::TraceMail(grpc::ServerContext* context, const v1::TraceMailRequest* request,
                                          grpc::ServerWriter<v1::TraceMailResponse>* writer) {
  return ToGrpcStatus(Trace(*context, *request, *writer));
}

absl::Status MailQueuesService::Trace(grpc::ServerContext& context, const v1::TraceMailRequest& request,
                                      grpc::ServerWriter<v1::TraceMailResponse>& writer) {
  constexpr std::string_view kMethod = "/prov.v1.MailQueues/TraceMail";
  PROV_ASSIGN_OR_RETURN(const Caller caller, authoriser_.Authorise(context, kMethod));
  const Turn turn(calls_);
  PROV_RETURN_IF_ERROR(turn.status());
  PROV_ASSIGN_OR_RETURN(const v1::ReadTraceRequest read, ReadRequestOf(request));
  std::vector<model::Host> hosts;
  if (request.host().empty()) {
    PROV_ASSIGN_OR_RETURN(hosts, dialling_.HostsWithQueues());
  } else {
    PROV_ASSIGN_OR_RETURN(const std::string key, HostKeyOf("host", request.host()));
    PROV_ASSIGN_OR_RETURN(model::Host host, dialling_.FindHost("host", key));
    hosts.push_back(std::move(host));
  }
  // Who writes to whom is nobody's business without a trace of its own.
  PROV_RETURN_IF_ERROR(Record(caller, kMethod, "mail", "", request));
  GatheredTrace gathered = GatherTrace(dialling_, context, hosts, read);
  if (context.IsCancelled()) return Gone();
  v1::TraceMailResponse page;
  for (v1::MailEvent& event : gathered.events) {
    *page.add_events() = std::move(event);
    if (static_cast<size_t>(page.events_size()) < kEventsInResponse) continue;
    if (!writer.Write(page)) return Gone();
    page.Clear();
  }
  page.mutable_unanswered()->Add(gathered.unanswered.begin(), gathered.unanswered.end());
  page.set_cut(gathered.cut);
  return writer.Write(page) ? absl::OkStatus() : Gone();
}

absl::Status MailQueuesService::Record(const Caller& caller, std::string_view method,
                                       const std::string& resource, const std::string& request_id,
                                       const google::protobuf::Message& request) const {
  store::AuditRecord record;
  record.caller = caller.ToString();
  record.peer = caller.peer;
  record.method = std::string(method);
  record.resource = resource;
  record.request_id = request_id;
  record.after_json = AuditEntryOf(resource, nullptr, request).after_json;
  return audit_.Record(record);
}

}  // namespace prov::api
