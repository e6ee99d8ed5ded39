#include "cli/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <thread>

#include "cli/interrupt_notice.h"
#include "cli/wait_display.h"
#include "common/random.h"
#include "common/status.h"
#include "prov/v1/operations.grpc.pb.h"

namespace prov::cli {
namespace {

constexpr std::chrono::milliseconds kFirstPause(100);
constexpr std::chrono::milliseconds kLongestPause(1000);

}  // namespace

absl::Status ParseTimeout(const std::string& text, std::chrono::milliseconds& timeout,
                          std::string_view option) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  const int64_t scale = unit == "ms"  ? 1
                        : unit == "s" ? 1000
                        : unit == "m" ? 60'000
                        : unit == "h" ? 3'600'000
                                      : 0;
  constexpr int64_t kMost = 24 * 3'600'000;
  if (error != std::errc() || number <= 0 || scale == 0 || number > kMost / scale) {
    return InvalidField(option, fmt::format("\"{}\" is not a time up to a day; write 500ms, 30s or 5m",
                                            Safe(text.substr(0, 40))));
  }
  timeout = std::chrono::milliseconds(number * scale);
  return absl::OkStatus();
}

std::string WriteText(const Session& session, std::string_view done, std::string_view to_whom,
                      uint64_t revision) {
  if (session.options.dry_run) return fmt::format("would have {} {}", done, to_whom);
  return fmt::format("{} {} (revision {})", done, to_whom, revision);
}

absl::Status Session::Open() {
  PROV_RETURN_IF_ERROR(ParseTimeout(options.timeout, timeout_));
  if (options.request_id.empty()) options.request_id = RandomHex(16);
  PROV_ASSIGN_OR_RETURN(connection_, Connect(options.connection));
  return absl::OkStatus();
}

bool Session::MayHaveArrived(const absl::Status& status) {
  // gRPC's code does not tell a call that never left from one whose answer was lost; its text does.
  if (absl::IsUnavailable(status))
    return MessageOf(status).find("failed to connect") == std::string_view::npos;
  return absl::IsDeadlineExceeded(status);
}

std::chrono::system_clock::time_point Session::Deadline() {
  if (!deadline_) deadline_ = std::chrono::system_clock::now() + timeout_;
  return *deadline_;
}

bool Session::PauseBefore(int attempt, std::optional<std::chrono::milliseconds> asked) {
  const auto usual = std::min(kFirstPause * (1 << std::min(attempt - 1, 10)), kLongestPause);
  const auto pause = std::max(usual, asked.value_or(usual));
  if (std::chrono::system_clock::now() + pause >= Deadline()) return false;
  std::this_thread::sleep_for(pause);
  // A connection is made only while somebody waits for it: gRPC has no thread of its own for that.
  channel()->WaitForConnected(std::min(Deadline(), std::chrono::system_clock::now() + kLongestPause));
  return true;
}

absl::Status Session::Explain(const absl::Status& status) const {
  if (absl::IsUnavailable(status)) {
    return Annotate(status, fmt::format("provd at {} cannot be reached or does not trust this certificate",
                                        Safe(connection_.server)));
  }
  if (absl::IsDeadlineExceeded(status)) {
    return absl::DeadlineExceededError(
        fmt::format("provd at {} did not answer within {}", Safe(connection_.server), options.timeout));
  }
  return status;
}

absl::Status Session::ExplainWrite(const absl::Status& status) const {
  const bool unanswered = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  if (options.dry_run || !unanswered || !may_have_arrived_) return status;
  return absl::Status(status.code(),
                      fmt::format("{}; it may have been done all the same: give the same command again with "
                                  "--request-id {}, and it is done once",
                                  MessageOf(status), Safe(request_id())));
}

absl::Status Session::WaitIfAsked(uint64_t revision) {
  std::fflush(stdout);
  // 0: a rehearsal.
  if (!options.wait || revision == 0 || options.dry_run) return absl::OkStatus();
  const InterruptNotice notice(
      fmt::format("\nprovctl: stopped waiting; the write stands as revision {}; provctl wait {} goes on\n",
                  revision, revision));
  v1::RevisionProgress progress;
  return Annotate(WaitFor(revision, &progress), fmt::format("the write stands as revision {}", revision));
}

absl::Status Session::WaitFor(uint64_t revision, v1::RevisionProgress* progress) {
  auto stub = v1::Operations::NewStub(channel());
  WaitDisplay display(options.quiet);
  const absl::Status status = InvokeUpTo(std::numeric_limits<int>::max(), [&](grpc::ClientContext* context) {
    v1::WaitForRevisionRequest request;
    request.set_revision(revision);
    const auto stream = stub->WaitForRevision(context, request);
    while (stream->Read(progress)) {
      display.Show(*progress);
      // Asked for the newest: which one that is must not change when provd comes back.
      revision = progress->revision();
    }
    return stream->Finish();
  });
  display.Finish();
  if (!absl::IsDeadlineExceeded(status) || progress->followers().empty()) return status;
  return FieldError(absl::StatusCode::kAborted, "--wait", "NOT_CONVERGED",
                    fmt::format("revision {} is not everywhere after {}: {}; provctl wait {} goes on waiting",
                                revision, options.timeout, Safe(WaitingFor(*progress)), revision));
}

}  // namespace prov::cli
