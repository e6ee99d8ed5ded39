// One run of provctl: the connection, what all commands share, and how a call is made and retried.
#pragma once

#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cli/connection.h"
#include "cli/output.h"
#include "common/grpc_status.h"
#include "common/retry_info.h"

namespace prov::v1 {
class RevisionProgress;
}

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

  // Reads configuration and certificates; an error is one of usage.
  absl::Status Open();

  Format format() const { return options.output == "json" ? Format::kJson : Format::kTable; }
  const std::shared_ptr<grpc::Channel>& channel() const { return connection_.channel; }
  // host:port of provd.
  const std::string& server() const { return connection_.server; }
  // The user's, or one made for this run: a retry after a lost answer must not happen twice.
  const std::string& request_id() const { return options.request_id; }

  std::chrono::milliseconds timeout() const { return timeout_; }

  // For commands of many calls that each get the whole --timeout.
  void RestartTimeout() { deadline_.reset(); }

  // `call` gets a fresh context and returns the call's grpc::Status. UNAVAILABLE is tried again with back-off
  // until the deadline, at most five times: writes carry a request id. So is what provd asks to have repeated
  // later (RetryInfo), when that is. The time runs from the first call on:
  // typing a password takes none of it.
  template <typename Call>
  absl::Status Invoke(const Call& call) {
    return InvokeUpTo(kMostAttempts, call);
  }

  // Fills in request_id and validate_only, calls, and prints nothing.
  template <typename Stub, typename Request, typename Response>
  absl::Status Write(Stub& stub,
                     grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                     Request request, Response* response) {
    return WriteAs(request_id(), stub, method, std::move(request), response);
  }
  // For commands of many writes, each with an id of its own.
  template <typename Stub, typename Request, typename Response>
  absl::Status WriteAs(const std::string& id, Stub& stub,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                       Request request, Response* response) {
    request.set_request_id(id);
    request.set_validate_only(options.dry_run);
    return ExplainWrite(
        Invoke([&](grpc::ClientContext* context) { return (stub.*method)(context, request, response); }));
  }

  // With --wait: until every follower has the revision, with a line for each.
  absl::Status WaitIfAsked(uint64_t revision);
  // Reason NOT_CONVERGED when time is up. `progress` holds what was heard last. A provd that goes away and
  // comes back is waited for.
  absl::Status WaitFor(uint64_t revision, v1::RevisionProgress* progress);

 private:
  static constexpr int kMostAttempts = 5;

  template <typename Call>
  absl::Status InvokeUpTo(int most_attempts, const Call& call) {
    for (int attempt = 1;; ++attempt) {
      grpc::ClientContext context;
      context.set_deadline(Deadline());
      const absl::Status status = FromGrpcStatus(call(&context));
      if (MayHaveArrived(status)) may_have_arrived_ = true;
      const auto asked = RetryDelayOf(status);
      if ((!absl::IsUnavailable(status) && !asked) || attempt >= most_attempts ||
          !PauseBefore(attempt, asked))
        return Explain(status);
    }
  }

  // Whether provd may have got the call although it has not answered it.
  static bool MayHaveArrived(const absl::Status& status);
  std::chrono::system_clock::time_point Deadline();
  // At least as long as `asked`. False when the pause would outlast the deadline.
  bool PauseBefore(int attempt, std::optional<std::chrono::milliseconds> asked);
  // Says whom we could not reach.
  absl::Status Explain(const absl::Status& status) const;
  // Says how to do it again without doing it twice.
  absl::Status ExplainWrite(const absl::Status& status) const;

  Connection connection_;
  bool may_have_arrived_ = false;
  std::chrono::milliseconds timeout_{0};
  std::optional<std::chrono::system_clock::time_point> deadline_;
};

// "added alice@example.net (revision 1042)", or "would have added alice@example.net".
std::string WriteText(const Session& session, std::string_view done, std::string_view to_whom,
                      uint64_t revision);

// "500ms", "30s", "5m", "1h"; up to a day. Errors name `option`.
absl::Status ParseTimeout(const std::string& text, std::chrono::milliseconds& timeout,
                          std::string_view option = "--timeout");

}  // namespace prov::cli
