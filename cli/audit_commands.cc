// audit list, audit verify.
#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <string>

#include "cli/audit_pages.h"
#include "cli/commands.h"
#include "cli/moment.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/audit.grpc.pb.h"

namespace prov::cli {
namespace {

struct ListOptions {
  std::string resource, caller, since;
  int64_t limit = 50;
  bool all = false;
};

absl::Status RunList(Session& session, const ListOptions& o) {
  if (!IsValidUtf8(o.resource + o.caller)) return InvalidField("audit list", "got text that is not UTF-8");
  v1::ListAuditRecordsRequest request;
  request.set_resource(o.resource);
  request.set_caller(o.caller);
  if (!o.since.empty()) {
    PROV_ASSIGN_OR_RETURN(*request.mutable_since(), ParsePast("--since", o.since));
  }
  Table table({"ID", "TIME", "CALLER", "FROM", "METHOD", "RESOURCE", "REVISION"});
  const char* before = "{\"records\": [\n";
  const auto print = [&](const v1::ListAuditRecordsResponse& page) {
    std::vector<std::vector<std::string>> rows;
    for (const v1::AuditRecord& record : page.records()) {
      if (session.format() == Format::kJson) {
        fmt::print("{}{}", before, ToJson(record));
        before = ",";
      } else {
        rows.push_back({std::to_string(record.id()), TimeText(record), record.caller(),
                        PeerText(record.peer()), MethodText(record), record.resource(), OutcomeText(record)});
      }
    }
    if (session.format() == Format::kTable) fmt::print("{}", table.Rows(rows));
    return absl::OkStatus();
  };
  std::string next;
  PROV_RETURN_IF_ERROR(EachAuditPage(session, request, o.all ? 0 : o.limit, print, &next));
  if (session.format() == Format::kJson) {
    // Tokens are provd's, in URL-safe letters: nothing to quote.
    fmt::print("{}], \"next_page_token\": \"{}\"}}\n", *before == ',' ? "" : before, next);
  }
  return absl::OkStatus();
}

struct VerifyOptions {
  std::string head, from;
};

// "1042:HASH".
absl::Status ParseHead(const char* option, const std::string& text, v1::AuditHead& head) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  const size_t colon = static_cast<size_t>(end - text.data());
  const std::string hash = colon < text.size() ? text.substr(colon + 1) : "";
  if (error != std::errc() || colon >= text.size() || text[colon] != ':' || hash.size() != 64 ||
      hash.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return InvalidField(option, "is not ID:HASH, as audit verify prints it");
  }
  head.set_id(id);
  head.set_hash(hash);
  return absl::OkStatus();
}

absl::Status CheckHeads(const VerifyOptions& o, v1::VerifyAuditLogRequest& request) {
  if (!o.head.empty()) PROV_RETURN_IF_ERROR(ParseHead("--head", o.head, *request.mutable_noted()));
  if (!o.from.empty()) PROV_RETURN_IF_ERROR(ParseHead("--from", o.from, *request.mutable_after()));
  if (request.has_noted() && request.has_after() && request.noted().id() <= request.after().id())
    return InvalidField("--head", "lies before --from and would not be looked at");
  return absl::OkStatus();
}

absl::Status RunVerify(Session& session, const VerifyOptions& o) {
  v1::VerifyAuditLogRequest request;
  PROV_RETURN_IF_ERROR(CheckHeads(o, request));
  auto stub = v1::Audit::NewStub(session.channel());
  v1::VerifyAuditLogResponse answer;
  uint64_t checked = 0;
  do {
    session.RestartTimeout();
    answer.Clear();
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->VerifyAuditLog(context, request, &answer); }));
    checked += answer.records_checked();
    *request.mutable_after() = answer.reached();
  } while (!answer.complete());
  answer.set_records_checked(checked);
  if (session.format() == Format::kJson) fmt::print("{}", ToJson(answer));
  if (answer.first_broken_id() != 0) {
    return absl::FailedPreconditionError(
        fmt::format("the audit log is broken at record {}: {}", answer.first_broken_id(), answer.reason()));
  }
  if (session.format() == Format::kTable && !session.options.quiet) {
    fmt::print("the audit log is whole: {} records checked\nhead {}:{}\n", checked, answer.head().id(),
               Safe(answer.head().hash()));
    if (o.head.empty())
      fmt::print("note the head where provd cannot write; --head checks against it later\n");
  }
  return absl::OkStatus();
}

}  // namespace

void AddAuditCommands(CLI::App& app, Action& chosen) {
  CLI::App* group =
      app.add_subcommand("audit", "Show who did what, and whether anybody changed that record.");
  group->footer(std::string("Example:\n  provctl audit list --since 1d\n\n") + kSeeGlobal);
  group->require_subcommand(1);

  auto list = std::make_shared<ListOptions>();
  CLI::App* command = AddCommand(*group, chosen, "list",
                                 "List writes and refused calls, newest first.\n"
                                 "Example: provctl audit list --caller helpdesk/mary --since 7d --all",
                                 list, RunList);
  command->add_option("--resource", list->resource,
                      "only this resource, as subscribers/1042 or domains/example.net");
  command->add_option("--caller", list->caller, "only this caller's, as helpdesk/mary");
  command->add_option("--since", list->since,
                      "only from then on: 90m, 12h, 7d, 2026-11-01, 2026-11-01T08:00:00Z");
  CLI::Option* limit = command->add_option("--limit", list->limit, "at most so many")
                           ->check(CLI::PositiveNumber)
                           ->capture_default_str();
  command->add_flag("--all", list->all, "however many there are")->excludes(limit);

  auto verify = std::make_shared<VerifyOptions>();
  command =
      AddCommand(*group, chosen, "verify",
                 "Check that no record was changed or removed; status 9 if one was. Prints the newest\n"
                 "record's id and hash, to be noted elsewhere: against them a later check also finds a log\n"
                 "that was cut short, or written anew.\n"
                 "Example: provctl audit verify",
                 verify, RunVerify);
  command->add_option("--head", verify->head, "ID:HASH that was noted: the log must still come to it");
  command->add_option("--from", verify->from, "ID:HASH that is trusted: check only what came after it");
}

}  // namespace prov::cli
