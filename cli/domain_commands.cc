// add-domain, list-domains, delete-domain.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/commands.h"
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

absl::Status RunAdd(Session& session, const DomainOptions& o) {
  if (!IsValidUtf8(o.name + o.alias_of + o.catch_all))
    return InvalidField("domain.name", "is not valid UTF-8");
  v1::CreateDomainRequest request;
  Domain& domain = *request.mutable_domain();
  domain.set_name("domains/" + o.name);
  if (!o.alias_of.empty()) domain.set_alias_of("domains/" + o.alias_of);
  domain.set_catch_all(o.catch_all);
  domain.set_suspended_mail(o.suspended_mail == "reject"  ? Domain::REJECT
                            : o.suspended_mail == "defer" ? Domain::DEFER
                                                          : Domain::KEEP);
  auto stub = Domains::NewStub(session.channel());
  Domain created;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Domains::Stub::CreateDomain, request, &created));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(created));
  } else if (!session.options.quiet) {
    fmt::print("{}\n", WriteText(session, "added", Safe(created.name()), created.revision()));
  }
  return session.WaitIfAsked(created.revision());
}

struct Nothing {};

absl::Status RunList(Session& session, const Nothing&) {
  auto stub = Domains::NewStub(session.channel());
  v1::ListDomainsRequest request;
  request.set_page_size(1000);
  v1::ListDomainsResponse all;
  do {
    v1::ListDomainsResponse page;
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->ListDomains(context, request, &page); }));
    all.mutable_domains()->MergeFrom(page.domains());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(all));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const Domain& domain : all.domains()) {
    rows.push_back({domain.name().substr(domain.name().find('/') + 1),
                    Domain::SuspendedMail_Name(domain.suspended_mail()), domain.alias_of(),
                    domain.catch_all()});
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

  AddCommand(app, chosen, "list-domains", "List hosted domains.\nExample: provctl list-domains",
             std::make_shared<Nothing>(), RunList);

  auto remove = std::make_shared<DomainOptions>();
  AddCommand(app, chosen, "delete-domain",
             "Stop hosting a domain that nobody uses.\nExample: provctl delete-domain example.net", remove,
             RunDelete)
      ->add_option("domain", remove->name, "as list-domains shows it")
      ->required();
}

}  // namespace prov::cli
