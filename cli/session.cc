#include "cli/session.h"

#include <fmt/format.h>

#include <charconv>
#include <thread>

#include "cli/wait_display.h"
#include "common/random.h"
#include "common/status.h"
#include "prov/v1/operations.grpc.pb.h"

namespace prov::cli {
namespace {

constexpr int kMostAttempts = 5;
constexpr std::chrono::milliseconds kFirstPause(100);

}  // namespace

absl::Status ParseTimeout(const std::string& text, std::chrono::milliseconds& timeout) {
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
    return InvalidField("--timeout", fmt::format("\"{}\" is not a time up to a day; write 500ms, 30s or 5m",
                                                 Safe(text.substr(0, 40))));
  }
  timeout = std::chrono::milliseconds(number * scale);
  return absl::OkStatus();
}

absl::Status Session::Open() {
  std::chrono::milliseconds timeout{0};
  PROV_RETURN_IF_ERROR(ParseTimeout(options.timeout, timeout));
  deadline_ = std::chrono::system_clock::now() + timeout;
  if (options.request_id.empty()) options.request_id = RandomHex(16);
  PROV_ASSIGN_OR_RETURN(channel_, Connect(options.connection));
  return absl::OkStatus();
}

bool Session::PauseBefore(int attempt) {
  if (attempt >= kMostAttempts) return false;
  const auto pause = kFirstPause * (1 << (attempt - 1));
  if (std::chrono::system_clock::now() + pause >= deadline_) return false;
  std::this_thread::sleep_for(pause);
  return true;
}

absl::Status Session::WaitIfAsked(uint64_t revision) {
  // 0: nothing changed, or a rehearsal.
  return options.wait && revision != 0 && !options.dry_run ? WaitFor(revision) : absl::OkStatus();
}

absl::Status Session::WaitFor(uint64_t revision) {
  auto stub = v1::Operations::NewStub(channel_);
  WaitDisplay display(options.quiet);
  v1::RevisionProgress progress;
  const absl::Status status = Invoke([&](grpc::ClientContext* context) {
    v1::WaitForRevisionRequest request;
    request.set_revision(revision);
    const auto stream = stub->WaitForRevision(context, request);
    while (stream->Read(&progress)) display.Show(progress);
    return stream->Finish();
  });
  display.Finish();
  if (!absl::IsDeadlineExceeded(status)) return status;
  return FieldError(
      absl::StatusCode::kAborted, "--wait", "NOT_CONVERGED",
      fmt::format("the write stands, but not everybody has it after {}: {}; provctl wait goes on waiting",
                  options.timeout, WaitingFor(progress)));
}

}  // namespace prov::cli
