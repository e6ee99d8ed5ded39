#include "server/api/write_call.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/json_util.h>

#include <chrono>

#include "common/log.h"
#include "common/status.h"
#include "server/model/validate.h"
#include "server/store/approval_repository.h"

namespace prov::api {
namespace {

// Map entries come in a fixed order, so that equal requests have equal octets.
std::string SerialiseInOrder(const google::protobuf::Message& message) {
  std::string octets;
  google::protobuf::io::StringOutputStream stream(&octets);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return octets;
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails only for messages with malformed Any fields; ours have none.
  (void)google::protobuf::util::MessageToJsonString(message, &json, options);
  return json;
}

// One line for each write, by which a caller's own log and ours can be laid side by side. The audit log tells
// what it changed.
void LogWrite(const store::WriteContext& write, std::string_view request_id,
              const absl::StatusOr<store::WriteResult>& result, std::chrono::steady_clock::duration took) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
  if (!result.ok()) {
    Log(Level::kInfo, "write_failed",
        {{"caller", write.caller},
         {"method", write.method},
         {"request_id", request_id},
         {"ms", milliseconds},
         {"error", result.status()}});
    return;
  }
  Log(Level::kInfo, "write",
      {{"caller", write.caller},
       {"method", write.method},
       {"request_id", request_id},
       {"resource", result->audit.empty() ? "" : result->audit.front().resource},
       {"resources", result->audit.size()},
       {"revision", result->revision},
       {"replayed", result->replayed ? "yes" : "no"},
       {"ms", milliseconds}});
}

}  // namespace

absl::Status WriteCalls::Run(const grpc::ServerContext& context, const Options& options,
                             const Prepare& prepare, const Body& body,
                             google::protobuf::Message* response) const {
  PROV_ASSIGN_OR_RETURN(const Caller caller, authoriser_.Authorise(context, options.method));
  PROV_RETURN_IF_ERROR(model::CheckRequestId(options.request_id));
  if (prepare) PROV_RETURN_IF_ERROR(prepare());
  store::WriteContext write;
  write.caller = caller.ToString();
  write.peer = caller.peer;
  write.method = std::string(options.method);
  write.validate_only = options.validate_only;
  write.deadline = context.deadline();
  // A rehearsal is not remembered: the real call with the same id must go through.
  if (!options.validate_only) write.request_id = std::string(options.request_id);
  write.fingerprint = fingerprint_.Of(options.method, SerialiseInOrder(*options.request));
  const auto start = std::chrono::steady_clock::now();
  const absl::StatusOr<store::WriteResult> result = queue_.Run(write, body);
  LogWrite(write, options.request_id, result, std::chrono::steady_clock::now() - start);
  if (ReasonOf(result.status()) == store::kBlastRadius) NoteStopped(queue_, write);
  PROV_RETURN_IF_ERROR(result.status());
  if (!response->ParseFromString(result->response))
    return absl::InternalError("the remembered answer is malformed");
  return absl::OkStatus();
}

store::AuditEntry AuditEntryOf(const std::string& resource, const google::protobuf::Message* before,
                               const google::protobuf::Message& after) {
  return {resource, before == nullptr ? "" : ToJson(*before), ToJson(after)};
}

void NoteStopped(store::WriteQueue& queue, const store::WriteContext& refused) {
  if (refused.validate_only) return;
  store::WriteContext context;
  context.caller = refused.caller;
  context.peer = refused.peer;
  context.method = refused.method;
  const auto note = [&](store::WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_RETURN_IF_ERROR(store::ApprovalRepository::MarkStopped(write));
    return store::WriteResult{.audit = {{"api/" + refused.caller, "", R"({"stopped": "BLAST_RADIUS"})"}}};
  };
  const absl::Status noted = queue.Run(std::move(context), note).status();
  if (noted.ok()) {
    Log(Level::kError, "caller_stopped", {{"caller", refused.caller}, {"method", refused.method}});
  } else if (!absl::IsAlreadyExists(noted)) {
    Log(Level::kError, "caller_stop_not_noted", {{"caller", refused.caller}, {"error", noted}});
  }
}

store::WriteResult Result(const std::string& resource, const google::protobuf::Message* before,
                          const google::protobuf::Message& after, const google::protobuf::Message& response) {
  store::WriteResult result;
  result.audit.push_back(AuditEntryOf(resource, before, after));
  result.response = response.SerializeAsString();
  return result;
}

}  // namespace prov::api
