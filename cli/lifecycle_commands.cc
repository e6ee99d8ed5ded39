// suspend-user, resume-user, delete-user, undelete-user, purge-user.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/moment.h"
#include "cli/subscriber_output.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/subscribers.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Subscriber;
using v1::Subscribers;

struct Target {
  std::string login;
  std::string reason;
  std::string at;
  bool sure = false;
};

// All five take a name and answer with the subscriber.
template <typename Request>
absl::Status RunStep(Session& session, const Target& target, std::string_view verb, Request request,
                     grpc::Status (Subscribers::Stub::*method)(grpc::ClientContext*, const Request&,
                                                               Subscriber*)) {
  if (!IsValidUtf8(target.login)) return InvalidField("name", "is not valid UTF-8");
  request.set_name("subscribers/" + target.login);
  auto stub = Subscribers::NewStub(session.channel());
  Subscriber subscriber;
  PROV_RETURN_IF_ERROR(session.Write(*stub, method, request, &subscriber));
  return ReportWrite(session, verb, subscriber);
}

// Those that may be scheduled.
template <typename Request>
absl::Status RunTimedStep(Session& session, const Target& target, std::string_view verb, Request request,
                          grpc::Status (Subscribers::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                    Subscriber*)) {
  if (target.at.empty()) return RunStep(session, target, verb, request, method);
  if (!IsValidUtf8(target.login)) return InvalidField("name", "is not valid UTF-8");
  PROV_ASSIGN_OR_RETURN(*request.mutable_effective_time(), ParseMoment("--at", target.at));
  request.set_name("subscribers/" + target.login);
  auto stub = Subscribers::NewStub(session.channel());
  Subscriber subscriber;
  PROV_RETURN_IF_ERROR(session.Write(*stub, method, request, &subscriber));
  // A time that is over means now.
  if (subscriber.scheduled_changes().empty()) return ReportWrite(session, verb, subscriber);
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(subscriber));
  } else if (!session.options.quiet) {
    fmt::print("{} {} {} at {}\n", Safe(subscriber.login()),
               session.options.dry_run ? "would have been scheduled to be" : "is scheduled to be", verb,
               MomentText(request.effective_time()));
  }
  return absl::OkStatus();
}

absl::Status RunSuspend(Session& session, const Target& target) {
  if (!IsValidUtf8(target.reason)) return InvalidField("reason", "is not valid UTF-8");
  v1::SuspendSubscriberRequest request;
  request.set_reason(target.reason);
  return RunTimedStep(session, target, "suspended", request, &Subscribers::Stub::SuspendSubscriber);
}

absl::Status RunResume(Session& session, const Target& target) {
  return RunTimedStep(session, target, "resumed", v1::ResumeSubscriberRequest(),
                      &Subscribers::Stub::ResumeSubscriber);
}

absl::Status RunDelete(Session& session, const Target& target) {
  return RunTimedStep(session, target, "closed", v1::DeleteSubscriberRequest(),
                      &Subscribers::Stub::DeleteSubscriber);
}

absl::Status RunUndelete(Session& session, const Target& target) {
  return RunStep(session, target, "undeleted", v1::UndeleteSubscriberRequest(),
                 &Subscribers::Stub::UndeleteSubscriber);
}

absl::Status RunPurge(Session& session, const Target& target) {
  if (!target.sure && !session.options.dry_run) {
    return InvalidField("--yes", "is required: a purge removes all mail and files for good");
  }
  return RunStep(session, target, "purged", v1::PurgeSubscriberRequest(),
                 &Subscribers::Stub::PurgeSubscriber);
}

}  // namespace

void AddLifecycleCommands(CLI::App& app, Action& chosen) {
  const auto add = [&](const char* name, const char* description,
                       absl::Status (*run)(Session&, const Target&)) {
    auto target = std::make_shared<Target>();
    CLI::App* command = AddCommand(app, chosen, name, description, target, run);
    command->add_option("login", target->login, "login or id")->required();
    return std::pair(command, target);
  };
  const auto [suspend, suspended] =
      add("suspend-user",
          "Refuse a subscriber's login everywhere; mail keeps coming in.\n"
          "Example: provctl suspend-user alice@example.net --reason unpaid --wait",
          RunSuspend);
  suspend->add_option("--reason", suspended->reason, "for the helpdesk, at most 200 characters");
  suspend->add_option("--at", suspended->at, kMomentHelp);
  const auto [resume, resumed] =
      add("resume-user", "End a suspension.\nExample: provctl resume-user alice@example.net", RunResume);
  resume->add_option("--at", resumed->at, kMomentHelp);
  const auto [close, closed] =
      add("delete-user",
          "Close a subscriber: mail is refused, data is kept until the time shown by show-user.\n"
          "Example: provctl delete-user alice@example.net --at 2026-12-31T23:00:00Z",
          RunDelete);
  close->add_option("--at", closed->at, kMomentHelp);
  add("undelete-user", "Bring a closed subscriber back.\nExample: provctl undelete-user alice@example.net",
      RunUndelete);
  const auto [purge, purged] =
      add("purge-user",
          "Remove a closed subscriber's mail and files, for good.\nExample: provctl purge-user 1042 --yes",
          RunPurge);
  purge->add_flag("--yes", purged->sure, "I know that there is no way back");
}

}  // namespace prov::cli
