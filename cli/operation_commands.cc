// wait, status, whoami.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/wait_display.h"
#include "common/status.h"
#include "prov/v1/operations.grpc.pb.h"

namespace prov::cli {
namespace {

struct WaitOptions {
  uint64_t revision = 0;
};

absl::Status RunWait(Session& session, const WaitOptions& o) {
  v1::RevisionProgress progress;
  PROV_RETURN_IF_ERROR(session.WaitFor(o.revision, &progress));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(progress));
  } else if (!session.options.quiet) {
    fmt::print("revision {} is everywhere\n", progress.revision());
  }
  return absl::OkStatus();
}

struct Nothing {};

absl::Status RunStatus(Session& session, const Nothing&) {
  auto stub = v1::Operations::NewStub(session.channel());
  v1::Status status;
  PROV_RETURN_IF_ERROR(session.Invoke([&](grpc::ClientContext* context) {
    return stub->GetStatus(context, v1::GetStatusRequest(), &status);
  }));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(status));
    return absl::OkStatus();
  }
  fmt::print("{}  provd {}  revision {}\n", status.healthy() ? "healthy" : "NOT HEALTHY",
             Safe(status.version()), status.head_revision());
  for (const v1::FollowerProgress& follower : status.followers()) fmt::print("{}\n", FollowerLine(follower));
  return absl::OkStatus();
}

absl::Status RunWhoAmI(Session& session, const Nothing&) {
  auto stub = v1::Operations::NewStub(session.channel());
  v1::WhoAmIResponse answer;
  PROV_RETURN_IF_ERROR(session.Invoke(
      [&](grpc::ClientContext* context) { return stub->WhoAmI(context, v1::WhoAmIRequest(), &answer); }));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(answer));
    return absl::OkStatus();
  }
  fmt::print("{}, and may call:\n", Safe(answer.caller()));
  for (const std::string& method : answer.methods()) fmt::print("  {}\n", Safe(method));
  return absl::OkStatus();
}

}  // namespace

void AddOperationCommands(CLI::App& app, Action& chosen) {
  auto wait = std::make_shared<WaitOptions>();
  AddCommand(app, chosen, "wait",
             "Wait until directory and hosts have applied a revision; the newest when none is given.\n"
             "Example: provctl wait 1042 --timeout 5m",
             wait, RunWait)
      ->add_option("revision", wait->revision, "as told by the write");

  AddCommand(app, chosen, "status",
             "Show who follows the truth, and how far each has come.\nExample: provctl status",
             std::make_shared<Nothing>(), RunStatus);
  AddCommand(app, chosen, "whoami",
             "Show who provd takes you for, and what you may do.\nExample: provctl whoami",
             std::make_shared<Nothing>(), RunWhoAmI);
}

}  // namespace prov::cli
