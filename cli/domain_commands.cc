// add-domain, show-domain, list-domains, update-domain, delete-domain.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "cli/commands.h"
#include "cli/resource_calls.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/domains.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Domain;
using v1::Domains;

struct DomainOptions {
  std::string name, suspended_mail = "keep", alias_of, catch_all;
};

Domain::SuspendedMail PolicyOf(const std::string& text) {
  return text == "reject" ? Domain::REJECT : text == "defer" ? Domain::DEFER : Domain::KEEP;
}

std::string PolicyText(const Domain& domain) {
  std::string text = Domain::SuspendedMail_Name(domain.suspended_mail());
  absl::AsciiStrToLower(&text);
  return text;
}

absl::Status RunAdd(Session& session, const DomainOptions& o) {
  if (!IsValidUtf8(o.name + o.alias_of + o.catch_all))
    return InvalidField("domain.name", "is not valid UTF-8");
  v1::CreateDomainRequest request;
  Domain& domain = *request.mutable_domain();
  domain.set_name("domains/" + o.name);
  if (!o.alias_of.empty()) domain.set_alias_of("domains/" + o.alias_of);
  domain.set_catch_all(o.catch_all);
  domain.set_suspended_mail(PolicyOf(o.suspended_mail));
  auto stub = Domains::NewStub(session.channel());
  Domain created;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Domains::Stub::CreateDomain, request, &created));
  return ReportWritten(session, "added", created.name(), created);
}

absl::Status RunShow(Session& session, const DomainOptions& o) {
  if (!IsValidUtf8(o.name)) return InvalidField("name", "is not valid UTF-8");
  v1::GetDomainRequest request;
  request.set_name("domains/" + o.name);
  auto stub = Domains::NewStub(session.channel());
  Domain domain;
  PROV_RETURN_IF_ERROR(session.Invoke(
      [&](grpc::ClientContext* context) { return stub->GetDomain(context, request, &domain); }));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(domain));
    return absl::OkStatus();
  }
  std::vector<std::pair<std::string, std::string>> fields = {{"domain", ShortName(domain.name())}};
  if (domain.alias_of().empty()) {
    fields.emplace_back("suspended mail", PolicyText(domain));
    fields.emplace_back("catch-all", domain.catch_all().empty() ? "off" : domain.catch_all());
  } else {
    fields.emplace_back("alias of", ShortName(domain.alias_of()));
  }
  fields.emplace_back("revision", std::to_string(domain.revision()));
  fmt::print("{}", ToList(fields));
  return absl::OkStatus();
}

// Nothing: not named on the command line.
struct UpdateOptions {
  std::string name;
  std::optional<std::string> suspended_mail, alias_of, catch_all;
  bool no_alias = false, no_catch_all = false;
};

absl::Status RunUpdate(Session& session, const UpdateOptions& o) {
  if (!IsValidUtf8(o.name + o.alias_of.value_or("") + o.catch_all.value_or("")))
    return InvalidField("domain.name", "is not valid UTF-8");
  v1::UpdateDomainRequest request;
  Domain& domain = *request.mutable_domain();
  domain.set_name("domains/" + o.name);
  if (o.suspended_mail) {
    domain.set_suspended_mail(PolicyOf(*o.suspended_mail));
    request.mutable_update_mask()->add_paths("suspended_mail");
  }
  if (o.alias_of) domain.set_alias_of("domains/" + *o.alias_of);
  if (o.alias_of || o.no_alias) request.mutable_update_mask()->add_paths("alias_of");
  if (o.catch_all) domain.set_catch_all(*o.catch_all);
  if (o.catch_all || o.no_catch_all) request.mutable_update_mask()->add_paths("catch_all");
  if (request.update_mask().paths().empty()) {
    return InvalidField("update-domain",
                        "has nothing to change; give --suspended-mail, --alias-of, --no-alias, --catch-all "
                        "or --no-catch-all");
  }
  auto stub = Domains::NewStub(session.channel());
  Domain updated;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Domains::Stub::UpdateDomain, request, &updated));
  return ReportWritten(session, "updated", updated.name(), updated);
}

struct Nothing {};

absl::Status RunList(Session& session, const Nothing&) {
  auto stub = Domains::NewStub(session.channel());
  v1::ListDomainsRequest request;
  v1::ListDomainsResponse all;
  PROV_RETURN_IF_ERROR(ListAll(session, *stub, &Domains::Stub::ListDomains, request, &all));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(all));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const Domain& domain : all.domains()) {
    rows.push_back(
        {ShortName(domain.name()), PolicyText(domain), ShortName(domain.alias_of()), domain.catch_all()});
  }
  fmt::print("{}", ToTable({"DOMAIN", "SUSPENDED MAIL", "ALIAS OF", "CATCH-ALL"}, rows));
  return absl::OkStatus();
}

absl::Status RunDelete(Session& session, const DomainOptions& o) {
  if (!IsValidUtf8(o.name)) return InvalidField("name", "is not valid UTF-8");
  v1::DeleteDomainRequest request;
  request.set_name("domains/" + o.name);
  auto stub = Domains::NewStub(session.channel());
  v1::DeleteDomainResponse removed;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Domains::Stub::DeleteDomain, request, &removed));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(removed));
  } else if (!session.options.quiet) {
    fmt::print("{}\n", WriteText(session, "removed", Safe(o.name), removed.revision()));
  }
  return session.WaitIfAsked(removed.revision());
}

}  // namespace

void AddDomainCommands(CLI::App& app, Action& chosen) {
  auto add = std::make_shared<DomainOptions>();
  CLI::App* command = AddCommand(
      app, chosen, "add-domain",
      "Host a domain.\nExample: provctl add-domain example.net --suspended-mail reject", add, RunAdd);
  command
      ->add_option("domain", add->name, "such as example.net; international names may be typed as they are")
      ->required();
  command
      ->add_option("--suspended-mail", add->suspended_mail,
                   "mail to suspended subscribers: keep, reject or defer")
      ->check(CLI::IsMember({"keep", "reject", "defer"}))
      ->capture_default_str();
  command->add_option("--alias-of", add->alias_of, "another hosted domain that this is another name of");
  command->add_option("--catch-all", add->catch_all,
                      "address for mail to unknown local parts; off by default");

  auto show = std::make_shared<DomainOptions>();
  AddCommand(app, chosen, "show-domain", "Show a domain.\nExample: provctl show-domain example.net", show,
             RunShow)
      ->add_option("domain", show->name, "as list-domains shows it")
      ->required();

  AddCommand(app, chosen, "list-domains", "List hosted domains.\nExample: provctl list-domains",
             std::make_shared<Nothing>(), RunList);

  auto update = std::make_shared<UpdateOptions>();
  command =
      AddCommand(app, chosen, "update-domain",
                 "Change what a domain does with mail for suspended subscribers, of which it is an alias, "
                 "and where mail to unknown local parts goes.\n"
                 "Example: provctl update-domain example.net --catch-all info@example.net",
                 update, RunUpdate);
  command->add_option("domain", update->name, "as list-domains shows it")->required();
  command
      ->add_option("--suspended-mail", update->suspended_mail,
                   "mail to suspended subscribers: keep, reject or defer")
      ->check(CLI::IsMember({"keep", "reject", "defer"}));
  CLI::Option* alias = command->add_option("--alias-of", update->alias_of,
                                           "another hosted domain that this is another name of");
  command->add_flag("--no-alias", update->no_alias, "stands for itself")->excludes(alias);
  CLI::Option* catch_all = command->add_option(
      "--catch-all", update->catch_all, "address, of a subscriber or list, for mail to unknown local parts");
  command->add_flag("--no-catch-all", update->no_catch_all, "refuse mail to unknown local parts")
      ->excludes(catch_all);

  auto remove = std::make_shared<DomainOptions>();
  AddCommand(app, chosen, "delete-domain",
             "Stop hosting a domain that nobody uses.\nExample: provctl delete-domain example.net", remove,
             RunDelete)
      ->add_option("domain", remove->name, "as list-domains shows it")
      ->required();
}

}  // namespace prov::cli
