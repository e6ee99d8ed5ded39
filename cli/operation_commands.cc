// wait, status, whoami, why.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/subscriber_input.h"
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

// "SuspendSubscriber" → "suspend subscriber".
std::string Words(const std::string& name) {
  std::string words;
  for (const char c : name) {
    const bool capital = c >= 'A' && c <= 'Z';
    if (capital && !words.empty()) words += ' ';
    words += capital ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return words;
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
  std::string name = answer.caller();
  if (const size_t slash = name.find('/'); slash != std::string::npos) name.erase(0, slash + 1);
  fmt::print("{}, in the role {}, may:\n", Safe(name), Safe(answer.role()));
  // "Subscribers" → what it may do there, in the order of the contract.
  std::vector<std::pair<std::string, std::string>> services;
  for (const std::string& method : answer.methods()) {
    const size_t slash = method.rfind('/');
    const std::string service = Words(method.substr(0, slash).substr(method.substr(0, slash).rfind('.') + 1));
    if (services.empty() || services.back().first != service) services.emplace_back(service, "");
    std::string& does = services.back().second;
    does += (does.empty() ? "" : ", ") + Words(method.substr(slash + 1));
  }
  for (const auto& [service, does] : services) fmt::print("  {}: {}\n", Safe(service), Safe(does));
  return absl::OkStatus();
}

struct Whose {
  std::string login;
};

absl::Status RunWhy(Session& session, const Whose& o) {
  PROV_RETURN_IF_ERROR(CheckUtf8("name", o.login));
  auto stub = v1::Operations::NewStub(session.channel());
  v1::ExplainRequest request;
  request.set_name(ResourceOf(o.login));
  v1::Explanation explanation;
  PROV_RETURN_IF_ERROR(session.Invoke(
      [&](grpc::ClientContext* context) { return stub->Explain(context, request, &explanation); }));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(explanation));
    return absl::OkStatus();
  }
  fmt::print("{}\n\n", Safe(explanation.verdict()));
  std::vector<std::vector<std::string>> rows;
  for (const auto& step : explanation.steps())
    rows.push_back({step.good() ? "good" : "BAD", step.what(), step.detail()});
  fmt::print("{}", ToTable({"", "WHAT", "HOW IT IS"}, rows));
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

  auto why = std::make_shared<Whose>();
  AddCommand(app, chosen, "why",
             "Say what keeps a subscriber from logging in or getting mail: account, entitlement,\n"
             "password, domain, directory entry, store, relays and what failed last.\n"
             "Example: provctl why alice@example.net",
             why, RunWhy)
      ->add_option("login", why->login, "login, another address of the subscriber, or id")
      ->required();
}

}  // namespace prov::cli
