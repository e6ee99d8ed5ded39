// What every write has in common: authorise, remember the request, run in the write queue, answer.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/api/authorise.h"
#include "server/store/request_fingerprint.h"
#include "server/store/write_queue.h"

namespace prov::api {

// Thread-safe.
class WriteCalls {
 public:
  WriteCalls(store::WriteQueue& queue, const store::RequestFingerprint& fingerprint,
             const Authoriser& authoriser)
      : queue_(queue), fingerprint_(fingerprint), authoriser_(authoriser) {}

  struct Options {
    std::string_view method;
    const google::protobuf::Message* request = nullptr;
    std::string_view request_id;
    bool validate_only = false;
  };
  // Pure checks and slow work (hashing) before the write has its turn. Not called for a caller that may not.
  using Prepare = std::function<absl::Status()>;
  // Does the write and fills in the response. Runs on the queue's thread.
  using Body = std::function<absl::StatusOr<store::WriteResult>(store::WriteTransaction&)>;

  // `response` is filled from the body's result, or from the first answer of a replay.
  absl::Status Run(const grpc::ServerContext& context, const Options& options, const Prepare& prepare,
                   const Body& body, google::protobuf::Message* response) const;

  const Authoriser& authoriser() const { return authoriser_; }

 private:
  store::WriteQueue& queue_;
  const store::RequestFingerprint& fingerprint_;
  const Authoriser& authoriser_;
};

// One entry of the audit: JSON of the resource before, which may be null, and after.
store::AuditEntry AuditEntryOf(const std::string& resource, const google::protobuf::Message* before,
                               const google::protobuf::Message& after);
// A write was refused for its blast radius: its caller stays stopped, which the audit log tells.
void NoteStopped(store::WriteQueue& queue, const store::WriteContext& refused);

// For a body to return: the audit's JSON and the remembered answer. `before` may be null.
store::WriteResult Result(const std::string& resource, const google::protobuf::Message* before,
                          const google::protobuf::Message& after, const google::protobuf::Message& response);

}  // namespace prov::api
