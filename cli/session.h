// One run of provctl: the connection, what all commands share, and how a call is made and retried.
#pragma once

#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "cli/connection.h"
#include "cli/output.h"
#include "common/grpc_status.h"

namespace prov::cli {

struct GlobalOptions {
  ConnectionOptions connection;
  std::string output = "table";
  std::string timeout = "30s";
  std::string request_id;
  bool wait = false;
  bool dry_run = false;
  bool quiet = false;
};

class Session {
 public:
  GlobalOptions options;

  absl::Status Open();

  Format format() const { return options.output == "json" ? Format::kJson : Format::kTable; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  std::chrono::system_clock::time_point deadline() const { return deadline_; }
  // The user's, or one made for this run: a retry after a lost answer must not happen twice.
  const std::string& request_id() const { return options.request_id; }

  // `call` gets a fresh context and returns the call's grpc::Status. UNAVAILABLE is tried again with back-off
  // until the deadline, at most five times: writes carry a request id.
  template <typename Call>
  absl::Status Invoke(const Call& call) {
    for (int attempt = 1;; ++attempt) {
      grpc::ClientContext context;
      context.set_deadline(deadline_);
      const absl::Status status = FromGrpcStatus(call(&context));
      if (!absl::IsUnavailable(status) || !PauseBefore(attempt)) return status;
    }
  }

  // Fills in request_id and validate_only, calls, and prints nothing.
  template <typename Stub, typename Request, typename Response>
  absl::Status Write(Stub& stub,
                     grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                     Request request, Response* response) {
    request.set_request_id(request_id());
    request.set_validate_only(options.dry_run);
    return Invoke([&](grpc::ClientContext* context) { return (stub.*method)(context, request, response); });
  }

  // With --wait: until every follower has the revision, with a line for each.
  absl::Status WaitIfAsked(uint64_t revision);
  // DEADLINE_EXCEEDED as ABORTED with reason NOT_CONVERGED.
  absl::Status WaitFor(uint64_t revision);

 private:
  // False when no attempt is left.
  bool PauseBefore(int attempt);

  std::shared_ptr<grpc::Channel> channel_;
  std::chrono::system_clock::time_point deadline_;
};

// "500ms", "30s", "5m", "1h".
absl::Status ParseTimeout(const std::string& text, std::chrono::milliseconds& timeout);

}  // namespace prov::cli
