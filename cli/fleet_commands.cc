// add-pool, list-pools, add-host, list-hosts, show-host.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "cli/commands.h"
#include "cli/wait_display.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/fleet.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Fleet;
using v1::Host;
using v1::Pool;

std::string ShortName(const std::string& name) { return name.substr(name.find('/') + 1); }

struct PoolOptions {
  std::string name, role;
  uint32_t weight = 1;
};

absl::Status RunAddPool(Session& session, const PoolOptions& o) {
  if (!IsValidUtf8(o.name)) return InvalidField("pool.name", "is not valid UTF-8");
  v1::CreatePoolRequest request;
  request.mutable_pool()->set_name("pools/" + o.name);
  request.mutable_pool()->set_weight(o.weight);
  for (int role = v1::Role_MIN; role <= v1::Role_MAX; ++role) {
    if (RoleText(static_cast<v1::Role>(role)) == o.role)
      request.mutable_pool()->set_role(static_cast<v1::Role>(role));
  }
  auto stub = Fleet::NewStub(session.channel());
  Pool created;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Fleet::Stub::CreatePool, request, &created));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(created));
  } else if (!session.options.quiet) {
    fmt::print("{}\n", WriteText(session, "added", Safe(created.name()), created.revision()));
  }
  return session.WaitIfAsked(created.revision());
}

struct Nothing {};

absl::Status RunListPools(Session& session, const Nothing&) {
  auto stub = Fleet::NewStub(session.channel());
  v1::ListPoolsRequest request;
  request.set_page_size(1000);
  v1::ListPoolsResponse all;
  do {
    v1::ListPoolsResponse page;
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->ListPools(context, request, &page); }));
    all.mutable_pools()->MergeFrom(page.pools());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(all));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const Pool& pool : all.pools()) {
    rows.push_back({ShortName(pool.name()), RoleText(pool.role()), std::to_string(pool.weight())});
  }
  fmt::print("{}", ToTable({"POOL", "ROLE", "WEIGHT"}, rows));
  return absl::OkStatus();
}

struct HostOptions {
  std::string name;
  std::vector<std::string> pools;
  uint32_t weight = 1;
};

absl::Status RunAddHost(Session& session, const HostOptions& o) {
  v1::CreateHostRequest request;
  Host& host = *request.mutable_host();
  if (!IsValidUtf8(o.name)) return InvalidField("host.name", "is not valid UTF-8");
  host.set_name("hosts/" + o.name);
  host.set_weight(o.weight);
  for (const std::string& pool : o.pools) {
    if (!IsValidUtf8(pool)) return InvalidField("host.pools", "is not valid UTF-8");
    host.add_pools("pools/" + pool);
  }
  auto stub = Fleet::NewStub(session.channel());
  Host created;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Fleet::Stub::CreateHost, request, &created));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(created));
  } else if (!session.options.quiet) {
    fmt::print("{}\n", WriteText(session, "added", Safe(created.name()), created.revision()));
  }
  return session.WaitIfAsked(created.revision());
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
  return fmt::format(
      "{}{} applied {}{}", RoleText(progress.role()), progress.connected() ? "" : " (not connected)",
      progress.applied_revision(),
      progress.failing_items() > 0 ? fmt::format(", {} failing", progress.failing_items()) : "");
}

absl::Status RunListHosts(Session& session, const Nothing&) {
  auto stub = Fleet::NewStub(session.channel());
  v1::ListHostsRequest request;
  request.set_page_size(1000);
  v1::ListHostsResponse all;
  do {
    v1::ListHostsResponse page;
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->ListHosts(context, request, &page); }));
    all.mutable_hosts()->MergeFrom(page.hosts());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
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
      fields.emplace_back("failing",
                          fmt::format("{} at revision {}: {}", item.key(), item.revision(), item.error()));
    }
  }
  fmt::print("{}", ToList(fields));
  return absl::OkStatus();
}

}  // namespace

void AddFleetCommands(CLI::App& app, Action& chosen) {
  auto pool = std::make_shared<PoolOptions>();
  CLI::App* command = AddCommand(app, chosen, "add-pool",
                                 "Make a pool: hosts of one role that are clones of each other.\n"
                                 "Example: provctl add-pool main --role store",
                                 pool, RunAddPool);
  command->add_option("name", pool->name, "a-z, 0-9 and dashes")->required();
  command->add_option("--role", pool->role, "what its hosts do; for good")
      ->required()
      ->check(CLI::IsMember({"relay", "store", "outbound", "list", "pop-proxy", "ftp", "web"}));
  command->add_option("--weight", pool->weight, "share of new mailboxes; 0 takes none")
      ->capture_default_str();

  AddCommand(app, chosen, "list-pools", "List pools.\nExample: provctl list-pools",
             std::make_shared<Nothing>(), RunListPools);

  auto host = std::make_shared<HostOptions>();
  command =
      AddCommand(app, chosen, "add-host",
                 "Tell of a host; its agent may then connect, with a certificate for prov://agent/NAME.\n"
                 "Example: provctl add-host store1 --pool main",
                 host, RunAddHost);
  command->add_option("name", host->name, "as in the agent's certificate")->required();
  command->add_option("--pool", host->pools, "one for each role that it plays; repeatable")
      ->required()
      ->allow_extra_args(false);
  command->add_option("--weight", host->weight, "share among its pool's hosts")->capture_default_str();

  AddCommand(app, chosen, "list-hosts",
             "List hosts, and how far each has followed.\nExample: provctl list-hosts",
             std::make_shared<Nothing>(), RunListHosts);

  auto show = std::make_shared<HostOptions>();
  AddCommand(app, chosen, "show-host",
             "Show a host, and what fails there.\nExample: provctl show-host store1", show, RunShowHost)
      ->add_option("name", show->name, "of the host")
      ->required();
}

}  // namespace prov::cli
