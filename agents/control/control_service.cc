#include "agents/control/control_service.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "agents/control/answer_translation.h"
#include "common/grpc_status.h"
#include "common/grpc_tls.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::control {
namespace {

using google::protobuf::util::TimeUtil;
using nlohmann::json;

// In one response.
constexpr int kMostMessages = 100, kMostEvents = 200;

absl::Status Gone() { return absl::CancelledError("the caller has gone"); }

std::string_view NameOf(v1::ChangeQueueRequest::Action action) {
  switch (action) {
    case v1::ChangeQueueRequest::HOLD:
      return "hold";
    case v1::ChangeQueueRequest::RELEASE:
      return "release";
    case v1::ChangeQueueRequest::DROP:
      return "drop";
    case v1::ChangeQueueRequest::FLUSH:
      return "flush";
    default:
      return "";
  }
}

}  // namespace

absl::Status ControlService::Admit(const grpc::ServerContext& context) const {
  const auto peer = context.auth_context();
  if (peer == nullptr) return absl::UnauthenticatedError("no certificate");
  PROV_ASSIGN_OR_RETURN(const PeerIdentity caller, IdentityOf(*peer));
  if (caller.role != "provd") {
    Log(Level::kWarning, "control_refused",
        {{"caller", caller.role + "/" + caller.name}, {"peer", context.peer()}});
    return absl::PermissionDeniedError("only provd may ask a host's agent; ask provd");
  }
  if (!engine_)
    return absl::FailedPreconditionError("this host has no queue: it is no relay and no store of ours");
  return absl::OkStatus();
}

grpc::Status ControlService::ListQueue(grpc::ServerContext* context, const v1::ListQueueRequest* request,
                                       grpc::ServerWriter<v1::ListQueuedMessagesResponse>* writer) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(Admit(*context));
    const json question = {{"do", "list"},
                           {"selection", JsonOf(request->selection())},
                           {"limit", static_cast<uint64_t>(std::max(request->limit(), 1))}};
    v1::ListQueuedMessagesResponse page;
    const auto take = [&](const json& line) {
      const auto message = line.find("message");
      if (message == line.end()) return absl::OkStatus();
      *page.add_messages() = QueuedMessageOf(*message);
      if (page.messages_size() < kMostMessages) return absl::OkStatus();
      const bool written = writer->Write(page);
      page.Clear();
      return written ? absl::OkStatus() : Gone();
    };
    PROV_ASSIGN_OR_RETURN(const json end,
                          engine_->Ask({&question, take, [&] { return context->IsCancelled(); }}));
    page.mutable_summary()->set_queued(NumberIn(end, "queued"));
    page.mutable_summary()->set_cut(FlagIn(end, "cut"));
    page.mutable_summary()->set_reading(FlagIn(end, "reading"));
    return writer->Write(page) ? absl::OkStatus() : Gone();
  };
  return ToGrpcStatus(list());
}

grpc::Status ControlService::ChangeQueue(grpc::ServerContext* context, const v1::ChangeQueueRequest* request,
                                         v1::ChangeQueuedMessagesResponse* response) {
  const auto change = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(Admit(*context));
    const json question = {{"do", NameOf(request->action())},
                           {"selection", JsonOf(request->selection())},
                           {"by", request->caller()},
                           {"rehearse", request->validate_only()}};
    const auto nothing = [](const json&) { return absl::OkStatus(); };
    PROV_ASSIGN_OR_RETURN(const json end,
                          engine_->Ask({&question, nothing, [&] { return context->IsCancelled(); }}));
    response->set_matched(NumberIn(end, "matched"));
    response->set_changed(NumberIn(end, "changed"));
    response->set_reading(FlagIn(end, "reading"));
    return absl::OkStatus();
  };
  return ToGrpcStatus(change());
}

grpc::Status ControlService::ReadTrace(grpc::ServerContext* context, const v1::ReadTraceRequest* request,
                                       grpc::ServerWriter<v1::ReadTraceResponse>* writer) {
  const auto trace = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(Admit(*context));
    const int64_t since = TimeUtil::TimestampToMilliseconds(request->since());
    const json question = {
        {"do", "trace"},
        {"address", request->address()},
        {"since", static_cast<uint64_t>(std::max<int64_t>(since, 0))},
        {"limit", static_cast<uint64_t>(std::max(request->limit(), 1))},
        {"traces", std::vector<std::string>(request->traces().begin(), request->traces().end())}};
    v1::ReadTraceResponse page;
    const auto take = [&](const json& line) {
      const auto event = line.find("event");
      if (event == line.end()) return absl::OkStatus();
      *page.add_events() = MailEventOf(*event);
      if (page.events_size() < kMostEvents) return absl::OkStatus();
      const bool written = writer->Write(page);
      page.Clear();
      return written ? absl::OkStatus() : Gone();
    };
    PROV_ASSIGN_OR_RETURN(const json end,
                          engine_->Ask({&question, take, [&] { return context->IsCancelled(); }}));
    page.set_cut(FlagIn(end, "cut"));
    return writer->Write(page) ? absl::OkStatus() : Gone();
  };
  return ToGrpcStatus(trace());
}

}  // namespace prov::control
