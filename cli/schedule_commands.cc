// list-scheduled, cancel-scheduled.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/moment.h"
#include "cli/subscriber_output.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/subscribers.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::ScheduledChange;
using v1::Subscribers;

std::string IdOf(const ScheduledChange& change) { return change.name().substr(change.name().find('/') + 1); }

struct ListOptions {
  std::string login;
  int64_t limit = 0;
};

absl::Status RunList(Session& session, const ListOptions& o) {
  constexpr int64_t kPage = 1000;
  if (!IsValidUtf8(o.login)) return InvalidField("subscriber", "is not valid UTF-8");
  v1::ListScheduledChangesRequest request;
  if (!o.login.empty()) request.set_subscriber("subscribers/" + o.login);
  auto stub = Subscribers::NewStub(session.channel());
  Table table({"ID", "WHEN", "WHAT", "LOGIN", "BY", "REASON OR ERROR"});
  bool begun = false;
  for (int64_t left = o.limit == 0 ? std::numeric_limits<int64_t>::max() : o.limit; left > 0;) {
    request.set_page_size(static_cast<int32_t>(std::min(left, kPage)));
    v1::ListScheduledChangesResponse page;
    session.RestartTimeout();
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->ListScheduledChanges(context, request, &page); }));
    std::vector<std::vector<std::string>> rows;
    for (const ScheduledChange& change : page.scheduled_changes()) {
      if (session.format() == Format::kJson) {
        fmt::print("{}{}", begun ? "," : "{\"scheduled_changes\": [\n", ToJson(change));
        begun = true;
      }
      rows.push_back({IdOf(change), MomentText(change.effective_time()), ActionText(change), change.login(),
                      change.caller(), change.error().empty() ? change.reason() : change.error()});
    }
    if (session.format() == Format::kTable) fmt::print("{}", table.Rows(rows));
    left -= page.scheduled_changes_size();
    request.set_page_token(page.next_page_token());
    if (request.page_token().empty()) break;
  }
  if (session.format() == Format::kJson) {
    fmt::print("{}], \"next_page_token\": \"{}\"}}\n", begun ? "" : "{\"scheduled_changes\": [",
               request.page_token());
  }
  return absl::OkStatus();
}

struct CancelOptions {
  std::string id;
};

absl::Status RunCancel(Session& session, const CancelOptions& o) {
  if (!IsValidUtf8(o.id)) return InvalidField("name", "is not valid UTF-8");
  v1::CancelScheduledChangeRequest request;
  request.set_name("scheduledChanges/" + o.id);
  auto stub = Subscribers::NewStub(session.channel());
  v1::CancelScheduledChangeResponse done;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Subscribers::Stub::CancelScheduledChange, request, &done));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(done));
  } else if (!session.options.quiet) {
    fmt::print("{} {}\n", session.options.dry_run ? "would have cancelled" : "cancelled",
               Safe(request.name()));
  }
  return absl::OkStatus();
}

}  // namespace

void AddScheduleCommands(CLI::App& app, Action& chosen) {
  auto list = std::make_shared<ListOptions>();
  CLI::App* command =
      AddCommand(app, chosen, "list-scheduled",
                 "List what is still to happen to subscribers, or could not be done, soonest first.\n"
                 "Example: provctl list-scheduled alice@example.net",
                 list, RunList);
  command->add_option("login", list->login, "login or id; all subscribers when it is left out");
  command->add_option("--limit", list->limit, "at most so many; 0: all")->check(CLI::NonNegativeNumber);

  auto cancel = std::make_shared<CancelOptions>();
  AddCommand(app, chosen, "cancel-scheduled",
             "Take a scheduled change back, or forget one that could not be done.\n"
             "Example: provctl cancel-scheduled 17",
             cancel, RunCancel)
      ->add_option("id", cancel->id, "as list-scheduled shows it")
      ->required();
}

}  // namespace prov::cli
