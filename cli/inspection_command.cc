// inspect-host.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cli/commands.h"
#include "cli/resource_calls.h"
#include "cli/wait_display.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/fleet.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Fleet;
using v1::Host;

constexpr std::chrono::milliseconds kLookInterval(300);  // between two looks at how far it is

struct InspectOptions {
  std::string name;
  bool repair = false;
};

bool HasAnswered(const v1::HostProgress& progress, uint64_t number) {
  return progress.inspection().number() >= number && progress.inspection().has_end_time();
}

void ShowProgress(const Session& session, const Host& host, uint64_t number) {
  if (session.options.quiet || isatty(STDERR_FILENO) == 0) return;
  uint64_t inspected = 0, all = 0;
  for (const v1::HostProgress& progress : host.progress()) {
    if (progress.inspection().number() < number) continue;
    inspected += progress.inspection().inspected_records();
    all += progress.inspection().all_records();
  }
  fmt::print(stderr, "\r{} of about {} records inspected\033[K", inspected, all);
}

absl::Status CheckConnected(const Host& host) {
  if (host.progress().empty()) {
    return absl::UnavailableError(fmt::format("no agent of {} has ever connected", ShortName(host.name())));
  }
  for (const v1::HostProgress& progress : host.progress()) {
    if (progress.connected()) continue;
    return absl::UnavailableError(fmt::format("{} ({}) is not connected; it looks when it comes back",
                                              ShortName(host.name()), RoleText(progress.role())));
  }
  return absl::OkStatus();
}

// Asks, and waits until each role's agent has answered.
absl::Status Inspect(Session& session, Fleet::Stub& stub, const InspectOptions& o, const std::string& id,
                     bool repair, Host* host) {
  v1::InspectHostRequest request;
  request.set_name("hosts/" + o.name);
  request.set_repair(repair);
  PROV_RETURN_IF_ERROR(session.WriteAs(id, stub, &Fleet::Stub::InspectHost, request, host));
  if (session.options.dry_run) return absl::OkStatus();
  const uint64_t number = host->inspection();
  v1::GetHostRequest get;
  get.set_name(request.name());
  const auto until = std::chrono::steady_clock::now() + session.timeout();
  for (;;) {
    session.RestartTimeout();
    PROV_RETURN_IF_ERROR(
        session.Invoke([&](grpc::ClientContext* context) { return stub.GetHost(context, get, host); }));
    ShowProgress(session, *host, number);
    const bool all = std::all_of(host->progress().begin(), host->progress().end(),
                                 [&](const auto& progress) { return HasAnswered(progress, number); });
    if (all && !host->progress().empty()) break;
    PROV_RETURN_IF_ERROR(CheckConnected(*host));
    if (std::chrono::steady_clock::now() >= until) {
      return FieldError(
          absl::StatusCode::kDeadlineExceeded, "", "NOT_CONVERGED",
          fmt::format("not done yet, and goes on by itself; provctl show-host {} tells how far", o.name));
    }
    std::this_thread::sleep_for(kLookInterval);
  }
  if (!session.options.quiet && isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\n");
  return absl::OkStatus();
}

uint64_t CountDrift(const Host& host) {
  uint64_t drifting = 0;
  for (const v1::HostProgress& progress : host.progress()) drifting += progress.inspection().drifting();
  return drifting;
}

void ShowDrift(const Session& session, const Host& host) {
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(host));
    return;
  }
  for (const v1::HostProgress& progress : host.progress()) {
    const v1::Inspection& inspection = progress.inspection();
    const std::string role = RoleText(progress.role());
    for (const v1::Drift& drift : inspection.drifts()) {
      fmt::print("{:9}  {}: {} {}\n", role, Safe(drift.driver()), Safe(drift.key()),
                 Safe(drift.difference()));
    }
    const uint64_t untold = inspection.drifting() - static_cast<uint64_t>(inspection.drifts_size());
    if (untold > 0) fmt::print("{:9}  and {} more; the agent's log has them all\n", role, untold);
    if (inspection.failed_records() > 0) {
      fmt::print("{:9}  {} could not be looked at: {}\n", role, inspection.failed_records(),
                 Safe(inspection.error()));
    }
  }
}

absl::Status Judge(const Session& session, const Host& host, bool repair) {
  uint64_t failing = 0, unseen = 0;
  for (const v1::HostProgress& progress : host.progress()) {
    failing += progress.failing_items();
    unseen += progress.inspection().failed_records();
  }
  const uint64_t drifting = CountDrift(host);
  const std::string name = ShortName(host.name());
  if (unseen > 0) return absl::FailedPreconditionError(fmt::format("{} could not be looked at", unseen));
  if (drifting > 0 && !repair) {
    return absl::FailedPreconditionError(
        fmt::format("{} differ; provctl inspect-host {} --repair mends them", drifting, name));
  }
  if (drifting > 0) return absl::FailedPreconditionError(fmt::format("{} differ again", drifting));
  if (failing > 0) {
    return absl::FailedPreconditionError(
        fmt::format("{} cannot be mended yet; provctl show-host {} tells why", failing, name));
  }
  if (session.format() == Format::kTable && !session.options.quiet) {
    fmt::print("{} has what its view says\n", name);
  }
  return absl::OkStatus();
}

absl::Status RunInspectHost(Session& session, const InspectOptions& o) {
  if (!IsValidUtf8(o.name)) return InvalidField("name", "is not valid UTF-8");
  auto stub = Fleet::NewStub(session.channel());
  Host host;
  PROV_RETURN_IF_ERROR(Inspect(session, *stub, o, session.request_id(), o.repair, &host));
  if (session.options.dry_run) return absl::OkStatus();
  ShowDrift(session, host);
  const uint64_t found = CountDrift(host);
  if (!o.repair || found == 0) return Judge(session, host, o.repair);
  // A second look, that only looks: whether what was mended is so now.
  if (session.format() == Format::kTable && !session.options.quiet) fmt::print("mending {}\n", found);
  PROV_RETURN_IF_ERROR(Inspect(session, *stub, o, session.request_id() + "-again", false, &host));
  ShowDrift(session, host);
  return Judge(session, host, true);
}

}  // namespace

void AddInspectionCommand(CLI::App& app, Action& chosen) {
  auto inspect = std::make_shared<InspectOptions>();
  CLI::App* command =
      AddCommand(app, chosen, "inspect-host",
                 "Compare a host with what it was told to have, now; status 9 if anything differs.\n"
                 "Example: provctl inspect-host store1 --repair",
                 inspect, RunInspectHost);
  command->add_option("name", inspect->name, "of the host")->required();
  command->add_flag("--repair", inspect->repair, "mend what differs, and look again");
}

}  // namespace prov::cli
