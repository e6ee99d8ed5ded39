// add-host, list-hosts, show-host, update-host, undrain-host, delete-host.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "cli/commands.h"
#include "cli/moment.h"
#include "cli/resource_calls.h"
#include "cli/wait_display.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/fleet.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Fleet;
using v1::Host;

struct HostOptions {
  std::string name;
  std::vector<std::string> pools;
  std::optional<uint32_t> weight;
};

absl::Status SetNameAndPools(const HostOptions& o, Host& host) {
  if (!IsValidUtf8(o.name)) return InvalidField("host.name", "is not valid UTF-8");
  host.set_name("hosts/" + o.name);
  for (const std::string& pool : o.pools) {
    if (!IsValidUtf8(pool)) return InvalidField("host.pools", "is not valid UTF-8");
    host.add_pools("pools/" + pool);
  }
  return absl::OkStatus();
}

absl::Status RunAddHost(Session& session, const HostOptions& o) {
  v1::CreateHostRequest request;
  PROV_RETURN_IF_ERROR(SetNameAndPools(o, *request.mutable_host()));
  request.mutable_host()->set_weight(o.weight.value_or(1));
  auto stub = Fleet::NewStub(session.channel());
  Host created;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Fleet::Stub::CreateHost, request, &created));
  return ReportWritten(session, "added", created.name(), created);
}

struct Nothing {};

absl::Status RunUpdateHost(Session& session, const HostOptions& o) {
  v1::UpdateHostRequest request;
  PROV_RETURN_IF_ERROR(SetNameAndPools(o, *request.mutable_host()));
  if (!o.pools.empty()) request.mutable_update_mask()->add_paths("pools");
  if (o.weight) {
    request.mutable_update_mask()->add_paths("weight");
    request.mutable_host()->set_weight(*o.weight);
  }
  if (request.update_mask().paths().empty()) return InvalidField("--pool, --weight", "give one at least");
  auto stub = Fleet::NewStub(session.channel());
  Host updated;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Fleet::Stub::UpdateHost, request, &updated));
  return ReportWritten(session, "updated", updated.name(), updated);
}

absl::Status RunUndrainHost(Session& session, const HostOptions& o) {
  if (!IsValidUtf8(o.name)) return InvalidField("name", "is not valid UTF-8");
  v1::UndrainHostRequest request;
  request.set_name("hosts/" + o.name);
  auto stub = Fleet::NewStub(session.channel());
  Host host;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Fleet::Stub::UndrainHost, request, &host));
  return ReportWritten(session, "undrained", host.name(), host);
}

absl::Status RunDeleteHost(Session& session, const HostOptions& o) {
  if (!IsValidUtf8(o.name)) return InvalidField("name", "is not valid UTF-8");
  v1::DeleteHostRequest request;
  request.set_name("hosts/" + o.name);
  auto stub = Fleet::NewStub(session.channel());
  v1::DeleteHostResponse removed;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Fleet::Stub::DeleteHost, request, &removed));
  return ReportWritten(session, "removed", request.name(), removed);
}

std::string PoolsText(const Host& host) {
  std::string text;
  for (const std::string& pool : host.pools()) text += (text.empty() ? "" : " ") + ShortName(pool);
  return text;
}

std::string StateText(const Host& host) {
  std::string text = Host::State_Name(host.state());
  absl::AsciiStrToLower(&text);
  return text;
}

std::string ProgressText(const v1::HostProgress& progress) {
  const uint64_t drifting = progress.inspection().repair() ? 0 : progress.inspection().drifting();
  return fmt::format(
      "{}{} applied {}{}{}{}{}", RoleText(progress.role()), progress.connected() ? "" : " (not connected)",
      progress.applied_revision(),
      progress.has_ready() && !progress.ready() && progress.connected() ? ", not ready" : "",
      progress.sessions() > 0 ? fmt::format(", {} in progress", progress.sessions()) : "",
      progress.failing_items() > 0 ? fmt::format(", {} failing", progress.failing_items()) : "",
      drifting > 0 ? fmt::format(", {} drifting", drifting) : "");
}

// " (tried 3 times, again in 20 s)"; nothing for what was rejected: its error says so.
std::string AttemptsText(const v1::FailingItem& item) {
  if (!item.has_retry_in()) return "";
  return fmt::format(" (tried {} time{}, again in {} s)", item.attempts(), item.attempts() == 1 ? "" : "s",
                     item.retry_in().seconds());
}

std::string InspectionText(const v1::Inspection& inspection) {
  const std::string when =
      inspection.has_end_time()
          ? MomentText(inspection.end_time())
          : fmt::format("under way since {}, {} of {}", MomentText(inspection.begin_time()),
                        inspection.inspected_records(), inspection.all_records());
  if (inspection.drifting() == 0) return when + ": nothing differed";
  return fmt::format("{}: {} differed, {}", when, inspection.drifting(),
                     inspection.held()     ? "too many to be mended without a word: inspect-host --repair"
                     : inspection.repair() ? "and were mended"
                                           : "and were left");
}

absl::Status RunListHosts(Session& session, const Nothing&) {
  auto stub = Fleet::NewStub(session.channel());
  v1::ListHostsRequest request;
  v1::ListHostsResponse all;
  PROV_RETURN_IF_ERROR(ListAll(session, *stub, &Fleet::Stub::ListHosts, request, &all));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(all));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const Host& host : all.hosts()) {
    std::string progress;
    for (const v1::HostProgress& one : host.progress())
      progress += (progress.empty() ? "" : "; ") + ProgressText(one);
    rows.push_back({ShortName(host.name()), StateText(host), PoolsText(host),
                    progress.empty() ? "never seen" : progress});
  }
  fmt::print("{}", ToTable({"HOST", "STATE", "POOLS", "PROGRESS"}, rows));
  return absl::OkStatus();
}

absl::Status RunShowHost(Session& session, const HostOptions& o) {
  if (!IsValidUtf8(o.name)) return InvalidField("name", "is not valid UTF-8");
  auto stub = Fleet::NewStub(session.channel());
  v1::GetHostRequest request;
  request.set_name("hosts/" + o.name);
  Host host;
  PROV_RETURN_IF_ERROR(
      session.Invoke([&](grpc::ClientContext* context) { return stub->GetHost(context, request, &host); }));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(host));
    return absl::OkStatus();
  }
  std::vector<std::pair<std::string, std::string>> fields = {
      {"host", ShortName(host.name())}, {"state", StateText(host)}, {"pools", PoolsText(host)}};
  for (const auto& [service, endpoint] : host.endpoints())
    fields.emplace_back("listens", service + " " + endpoint);
  for (const v1::HostProgress& progress : host.progress()) {
    fields.emplace_back("role", ProgressText(progress));
    for (const v1::FailingItem& item : progress.failing()) {
      fields.emplace_back("failing", fmt::format("{} at revision {}: {}{}", item.key(), item.revision(),
                                                 item.error(), AttemptsText(item)));
    }
    if (!progress.has_inspection()) continue;
    const v1::Inspection& inspection = progress.inspection();
    fields.emplace_back("inspected", InspectionText(inspection));
    for (const v1::Drift& drift : inspection.drifts())
      fields.emplace_back("drift", fmt::format("{}: {} {}", drift.driver(), drift.key(), drift.difference()));
    if (inspection.failed_records() > 0) {
      fields.emplace_back("unseen", fmt::format("{} could not be looked at: {}", inspection.failed_records(),
                                                inspection.error()));
    }
  }
  fmt::print("{}", ToList(fields));
  return absl::OkStatus();
}

}  // namespace

void AddHostCommands(CLI::App& app, Action& chosen) {
  auto host = std::make_shared<HostOptions>();
  CLI::App* command =
      AddCommand(app, chosen, "add-host",
                 "Tell of a host; its agent may then connect, with a certificate for prov://agent/NAME.\n"
                 "Example: provctl add-host store1 --pool main",
                 host, RunAddHost);
  command->add_option("name", host->name, "as in the agent's certificate")->required();
  command->add_option("--pool", host->pools, "one for each role that it plays; repeatable")
      ->required()
      ->allow_extra_args(false);
  command->add_option("--weight", host->weight, "share among its pool's hosts; 1 unless given");

  AddCommand(app, chosen, "list-hosts",
             "List hosts, and how far each has followed.\nExample: provctl list-hosts",
             std::make_shared<Nothing>(), RunListHosts);

  auto show = std::make_shared<HostOptions>();
  AddCommand(app, chosen, "show-host",
             "Show a host, and what fails there.\nExample: provctl show-host store1", show, RunShowHost)
      ->add_option("name", show->name, "of the host")
      ->required();

  auto update = std::make_shared<HostOptions>();
  command = AddCommand(app, chosen, "update-host",
                       "Put a host into other pools, or give it another share of their work.\n"
                       "Example: provctl update-host store1 --weight 2",
                       update, RunUpdateHost);
  command->add_option("name", update->name, "of the host")->required();
  command->add_option("--pool", update->pools, "replaces all; one for each role; repeatable")
      ->allow_extra_args(false);
  command->add_option("--weight", update->weight, "share among its pool's hosts");

  const auto add = [&](const char* name, const char* description,
                       absl::Status (*run)(Session&, const HostOptions&)) {
    auto target = std::make_shared<HostOptions>();
    AddCommand(app, chosen, name, description, target, run)
        ->add_option("name", target->name, "of the host")
        ->required();
  };
  AddDrainCommand(app, chosen);
  add("undrain-host", "Take a drained host back into service.\nExample: provctl undrain-host store1",
      RunUndrainHost);
  add("delete-host",
      "Forget a drained host, there or gone; its certificates are refused from then on.\n"
      "Mail in the queue of a relay that is gone is on its disk still: mount it on another relay first.\n"
      "Example: provctl delete-host store1",
      RunDeleteHost);
}

}  // namespace prov::cli
