// add-pool, list-pools, update-pool, delete-pool.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/resource_calls.h"
#include "cli/wait_display.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/fleet.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Fleet;
using v1::Pool;

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
  return ReportWritten(session, "added", created.name(), created);
}

absl::Status RunUpdatePool(Session& session, const PoolOptions& o) {
  if (!IsValidUtf8(o.name)) return InvalidField("pool.name", "is not valid UTF-8");
  v1::UpdatePoolRequest request;
  request.mutable_pool()->set_name("pools/" + o.name);
  request.mutable_pool()->set_weight(o.weight);
  request.mutable_update_mask()->add_paths("weight");
  auto stub = Fleet::NewStub(session.channel());
  Pool updated;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Fleet::Stub::UpdatePool, request, &updated));
  return ReportWritten(session, "updated", updated.name(), updated);
}

absl::Status RunDeletePool(Session& session, const PoolOptions& o) {
  if (!IsValidUtf8(o.name)) return InvalidField("name", "is not valid UTF-8");
  v1::DeletePoolRequest request;
  request.set_name("pools/" + o.name);
  auto stub = Fleet::NewStub(session.channel());
  v1::DeletePoolResponse removed;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Fleet::Stub::DeletePool, request, &removed));
  return ReportWritten(session, "removed", request.name(), removed);
}

struct Nothing {};

absl::Status RunListPools(Session& session, const Nothing&) {
  auto stub = Fleet::NewStub(session.channel());
  v1::ListPoolsRequest request;
  v1::ListPoolsResponse all;
  PROV_RETURN_IF_ERROR(ListAll(session, *stub, &Fleet::Stub::ListPools, request, &all));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(all));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const Pool& pool : all.pools()) {
    rows.push_back({ShortName(pool.name()), RoleText(pool.role()), std::to_string(pool.weight()),
                    pool.role() == v1::STORE ? std::to_string(pool.mailboxes()) : ""});
  }
  fmt::print("{}", ToTable({"POOL", "ROLE", "WEIGHT", "MAILBOXES"}, rows));
  return absl::OkStatus();
}

}  // namespace

void AddPoolCommands(CLI::App& app, Action& chosen) {
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

  auto update = std::make_shared<PoolOptions>();
  command = AddCommand(app, chosen, "update-pool",
                       "Give a pool another share of new mailboxes; those that are there stay.\n"
                       "Example: provctl update-pool main --weight 0",
                       update, RunUpdatePool);
  command->add_option("name", update->name, "as list-pools shows it")->required();
  command->add_option("--weight", update->weight, "share of new mailboxes; 0 takes none")->required();

  auto remove = std::make_shared<PoolOptions>();
  AddCommand(app, chosen, "delete-pool",
             "Forget a pool in which there is nothing.\nExample: provctl delete-pool old", remove,
             RunDeletePool)
      ->add_option("name", remove->name, "as list-pools shows it")
      ->required();
}

}  // namespace prov::cli
