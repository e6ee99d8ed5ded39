// drain-host.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <thread>

#include "cli/commands.h"
#include "cli/interrupt_notice.h"
#include "cli/resource_calls.h"
#include "cli/wait_display.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/fleet.grpc.pb.h"

namespace prov::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using v1::Fleet;
using v1::Host;

constexpr milliseconds kLookInterval(500);
// An agent tells of the first session and of the last within a second or two. A session that began just
// before the last proxy heard of the drain must be in what we look at.
constexpr milliseconds kQuiet = std::chrono::seconds(5);

struct DrainOptions {
  std::string name;
};

// What is still in progress, role by role; empty: nothing.
std::string InProgress(const Host& host) {
  std::string text;
  const auto add = [&](const v1::HostProgress& progress, const std::string& what) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", RoleText(progress.role()), what);
  };
  for (const v1::HostProgress& progress : host.progress()) {
    if (!progress.has_sessions()) continue;
    if (!progress.connected()) {
      add(progress, "not connected, so nobody can tell");
    } else if (progress.sessions() > 0) {
      add(progress, fmt::format("{} in progress", progress.sessions()));
    }
  }
  return text;
}

// Roles whose sessions are not ours to see.
std::string Unseen(const Host& host) {
  std::string text;
  for (const v1::HostProgress& progress : host.progress()) {
    if (progress.has_sessions()) continue;
    text += (text.empty() ? "" : ", ") + RoleText(progress.role());
  }
  return text;
}

absl::Status WaitUntilIdle(Session& session, Fleet::Stub& stub, Host* host) {
  const InterruptNotice notice(
      fmt::format("\nprovctl: stopped waiting; {} stays drained\n", ShortName(host->name())));
  v1::GetHostRequest get;
  get.set_name(host->name());
  const auto until = steady_clock::now() + session.timeout();
  auto busy_last = steady_clock::now();
  std::string told;
  for (;;) {
    session.RestartTimeout();
    PROV_RETURN_IF_ERROR(
        session.Invoke([&](grpc::ClientContext* context) { return stub.GetHost(context, get, host); }));
    const auto now = steady_clock::now();
    const std::string busy = InProgress(*host);
    if (!busy.empty()) busy_last = now;
    if (now - busy_last >= kQuiet) return absl::OkStatus();
    if (busy != told && !session.options.quiet)
      fmt::print(stderr, "  {}\n", busy.empty() ? "idle" : Safe(busy));
    told = busy;
    if (now >= until) {
      return FieldError(absl::StatusCode::kAborted, "--wait", "NOT_CONVERGED",
                        fmt::format("drained, and not idle after {}: {}; the same command goes on waiting",
                                    session.options.timeout, busy.empty() ? "idle for a moment only" : busy));
    }
    std::this_thread::sleep_for(kLookInterval);
  }
}

absl::Status RunDrainHost(Session& session, const DrainOptions& o) {
  if (!IsValidUtf8(o.name)) return InvalidField("name", "is not valid UTF-8");
  v1::DrainHostRequest request;
  request.set_name("hosts/" + o.name);
  auto stub = Fleet::NewStub(session.channel());
  Host host;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Fleet::Stub::DrainHost, request, &host));
  PROV_RETURN_IF_ERROR(ReportWritten(session, "drained", host.name(), host));
  if (!session.options.wait || session.options.dry_run) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(WaitUntilIdle(session, *stub, &host));
  if (session.options.quiet || session.format() == Format::kJson) return absl::OkStatus();
  const std::string unseen = Unseen(host);
  fmt::print(
      "{} is idle and may be stopped{}\n", Safe(o.name),
      unseen.empty() ? "" : fmt::format(", as far as can be seen: sessions of {} are not counted", unseen));
  return absl::OkStatus();
}

}  // namespace

void AddDrainCommand(CLI::App& app, Action& chosen) {
  auto drain = std::make_shared<DrainOptions>();
  AddCommand(app, chosen, "drain-host",
             "Send no new sessions to a host; those in progress end by themselves.\n"
             "With --wait, wait for the last one: then it may be stopped.\n"
             "Example: provctl drain-host store1 --wait --timeout 1h",
             drain, RunDrainHost)
      ->add_option("name", drain->name, "of the host")
      ->required();
}

}  // namespace prov::cli
