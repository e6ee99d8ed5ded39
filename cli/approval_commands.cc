// approve, list-stopped.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/moment.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/approvals.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Approvals;

struct ApproveOptions {
  std::string target, duration = "1h";
  int64_t changes = 0;
};

absl::Status RunApprove(Session& session, const ApproveOptions& o) {
  if (!IsValidUtf8(o.target)) return InvalidField("target", "is not valid UTF-8");
  std::chrono::milliseconds duration{0};
  PROV_RETURN_IF_ERROR(ParseTimeout(o.duration, duration));
  v1::ApproveChangesRequest request;
  request.set_target(o.target);
  request.set_changes(o.changes);
  request.mutable_duration()->set_seconds(duration / std::chrono::seconds(1));
  auto stub = Approvals::NewStub(session.channel());
  v1::Approval approval;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Approvals::Stub::ApproveChanges, request, &approval));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(approval));
  } else if (!session.options.quiet) {
    fmt::print("{}: {} may make {} changes until {}\n",
               session.options.dry_run ? "would have approved" : "approved", Safe(approval.target()),
               approval.changes(), MomentText(approval.expire_time()));
  }
  return absl::OkStatus();
}

struct Nothing {};

absl::Status RunListStopped(Session& session, const Nothing&) {
  auto stub = Approvals::NewStub(session.channel());
  v1::ListStoppedCallersResponse stopped;
  PROV_RETURN_IF_ERROR(session.Invoke([&](grpc::ClientContext* context) {
    return stub->ListStoppedCallers(context, v1::ListStoppedCallersRequest(), &stopped);
  }));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(stopped));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const v1::StoppedCaller& one : stopped.stopped_callers()) {
    rows.push_back({one.target(), std::to_string(one.changes()), MomentText(one.stopped_time())});
  }
  fmt::print("{}", ToTable({"STOPPED", "CHANGES", "SINCE"}, rows));
  return absl::OkStatus();
}

}  // namespace

void AddApprovalCommands(CLI::App& app, Action& chosen) {
  auto approve = std::make_shared<ApproveOptions>();
  CLI::App* command = AddCommand(
      app, chosen, "approve",
      "Let a mass change go on that was stopped: a caller's closings, suspensions and purges, or removals "
      "in the directory or on a host. Your word is in the audit log.\n"
      "Example: provctl approve api/billing/crm --changes 20000",
      approve, RunApprove);
  command
      ->add_option("target", approve->target,
                   "api/ROLE/NAME as list-stopped shows it, directory, or hosts/NAME")
      ->required();
  command->add_option("--changes", approve->changes, "so many, and no more")
      ->required()
      ->check(CLI::PositiveNumber);
  command->add_option("--for", approve->duration, "how long the word holds: 30m, 24h at most")
      ->capture_default_str();
  AddCommand(
      app, chosen, "list-stopped",
      "List callers that were stopped because they would have changed too many subscribers. What waits in "
      "the directory or on a host is in status.\nExample: provctl list-stopped",
      std::make_shared<Nothing>(), RunListStopped);
}

}  // namespace prov::cli
