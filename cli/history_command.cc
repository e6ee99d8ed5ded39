// history.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/audit_pages.h"
#include "cli/commands.h"
#include "cli/field_changes.h"
#include "cli/subscriber_input.h"
#include "common/status.h"
#include "prov/v1/subscribers.grpc.pb.h"

namespace prov::cli {
namespace {

struct HistoryOptions {
  std::string whose;
  int64_t limit = 50;
  bool all = false;
};

// What audit records call it: a login leads to the id, under which all is kept.
absl::StatusOr<std::string> ResourceNamed(Session& session, const std::string& whose) {
  PROV_RETURN_IF_ERROR(CheckUtf8("name", whose));
  if (whose.find('/') != std::string::npos) return whose;
  if (!whose.empty() && std::all_of(whose.begin(), whose.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return "subscribers/" + whose;
  auto stub = v1::Subscribers::NewStub(session.channel());
  v1::GetSubscriberRequest request;
  request.set_name(ResourceOf(whose));
  v1::Subscriber subscriber;
  PROV_RETURN_IF_ERROR(session.Invoke(
      [&](grpc::ClientContext* context) { return stub->GetSubscriber(context, request, &subscriber); }));
  return subscriber.name();
}

nlohmann::json JsonOf(const v1::AuditRecord& record, const std::vector<FieldChange>& changes) {
  auto fields = nlohmann::json::array();
  for (const FieldChange& change : changes) {
    fields.push_back({{"field", change.field},
                      {"before", nlohmann::json::parse(change.before.empty() ? "null" : change.before)},
                      {"after", nlohmann::json::parse(change.after.empty() ? "null" : change.after)}});
  }
  return {{"id", record.id()},     {"time", TimeText(record)},      {"caller", record.caller()},
          {"peer", record.peer()}, {"method", record.method()},     {"request_id", record.request_id()},
          {"code", record.code()}, {"revision", record.revision()}, {"fields", std::move(fields)}};
}

void PrintRecord(const v1::AuditRecord& record, const std::vector<FieldChange>& changes) {
  const std::string outcome =
      record.code() == 0 ? fmt::format("revision {}", record.revision()) : OutcomeText(record);
  fmt::print("{}  {}  {}  from {}  {}\n", TimeText(record), Safe(record.caller()), Safe(MethodText(record)),
             Safe(PeerText(record.peer())), outcome);
  if (MethodText(record) == "SetPassword" && record.code() == 0)
    fmt::print("    a new password, which is never recorded\n");
  size_t width = 0;
  for (const FieldChange& change : changes) width = std::max(width, change.field.size());
  for (const FieldChange& change : changes) {
    fmt::print("    {:<{}}  {} → {}\n", Safe(change.field), width, Safe(ValueText(change.before)),
               Safe(ValueText(change.after)));
  }
}

absl::Status RunHistory(Session& session, const HistoryOptions& o) {
  PROV_ASSIGN_OR_RETURN(const std::string resource, ResourceNamed(session, o.whose));
  v1::ListAuditRecordsRequest request;
  request.set_resource(resource);
  const bool json = session.format() == Format::kJson;
  if (json) fmt::print("{{\"resource\": {}, \"records\": [", nlohmann::json(resource).dump());
  bool any = false;
  const auto print = [&](const v1::ListAuditRecordsResponse& page) {
    for (const v1::AuditRecord& record : page.records()) {
      const std::vector<FieldChange> changes = ChangesBetween(record.before_json(), record.after_json());
      if (json) {
        fmt::print("{}\n{}", any ? "," : "",
                   JsonOf(record, changes).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
      } else {
        PrintRecord(record, changes);
      }
      any = true;
    }
    return absl::OkStatus();
  };
  std::string next;
  PROV_RETURN_IF_ERROR(EachAuditPage(session, request, o.all ? 0 : o.limit, print, &next));
  if (json) fmt::print("], \"next_page_token\": \"{}\"}}\n", next);
  if (!json && !any && !session.options.quiet) fmt::print("nothing is known of {}\n", Safe(resource));
  if (!json && !next.empty() && !session.options.quiet) fmt::print("older ones: --all\n");
  return absl::OkStatus();
}

}  // namespace

void AddHistoryCommand(CLI::App& app, Action& chosen) {
  auto history = std::make_shared<HistoryOptions>();
  CLI::App* command =
      AddCommand(app, chosen, "history",
                 "Show who changed what of a subscriber, when and from where, newest first. Of\n"
                 "another resource (domains/example.net) for operators and auditors.\n"
                 "Example: provctl history alice@example.net",
                 history, RunHistory);
  command->add_option("login", history->whose, "login, id, or the name of another resource")->required();
  CLI::Option* limit = command->add_option("--limit", history->limit, "at most so many")
                           ->check(CLI::PositiveNumber)
                           ->capture_default_str();
  command->add_flag("--all", history->all, "however many there are")->excludes(limit);
}

}  // namespace prov::cli
