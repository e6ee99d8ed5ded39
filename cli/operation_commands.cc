// wait, status, whoami, audit.
#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/wait_display.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/audit.grpc.pb.h"
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

struct AuditOptions {
  std::string resource;
  int limit = 50;
};

absl::Status RunAudit(Session& session, const AuditOptions& o) {
  if (!IsValidUtf8(o.resource)) return InvalidField("resource", "is not valid UTF-8");
  auto stub = v1::Audit::NewStub(session.channel());
  v1::ListAuditRecordsRequest request;
  request.set_page_size(o.limit);
  request.set_resource(o.resource);
  v1::ListAuditRecordsResponse list;
  PROV_RETURN_IF_ERROR(session.Invoke(
      [&](grpc::ClientContext* context) { return stub->ListAuditRecords(context, request, &list); }));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(list));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const v1::AuditRecord& record : list.records()) {
    google::protobuf::Timestamp time = record.time();
    time.set_nanos(0);
    rows.push_back({google::protobuf::util::TimeUtil::ToString(time), record.caller(),
                    record.method().substr(record.method().rfind('/') + 1), record.resource(),
                    record.code() == 0 ? std::to_string(record.revision())
                                       : fmt::format("refused ({})", record.code())});
  }
  fmt::print("{}", ToTable({"TIME", "CALLER", "METHOD", "RESOURCE", "REVISION"}, rows));
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

  auto audit = std::make_shared<AuditOptions>();
  CLI::App* command =
      AddCommand(app, chosen, "audit",
                 "Show who did what, newest first.\nExample: provctl audit --resource subscribers/1042",
                 audit, RunAudit);
  command->add_option("--resource", audit->resource, "only this resource");
  command->add_option("--limit", audit->limit, "at most so many")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
}

}  // namespace prov::cli
