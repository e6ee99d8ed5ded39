// add-user, show-user, list-users, update-user.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/subscriber_input.h"
#include "cli/subscriber_output.h"
#include "common/status.h"
#include "prov/v1/subscribers.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Subscriber;
using v1::Subscribers;

struct AddUser {
  std::string login, name, quota, plan, pool;
  std::vector<std::string> labels, web_names;
  bool ftp = false, web = false, no_mail = false;
  PasswordSource password;
};

absl::Status RunAddUser(Session& session, const AddUser& o) {
  v1::CreateSubscriberRequest request;
  Subscriber& subscriber = *request.mutable_subscriber();
  PROV_RETURN_IF_ERROR(CheckUtf8("subscriber.login", o.login));
  PROV_RETURN_IF_ERROR(CheckUtf8("subscriber.display_name", o.name));
  PROV_RETURN_IF_ERROR(CheckUtf8("subscriber.plan", o.plan));
  PROV_RETURN_IF_ERROR(CheckUtf8("subscriber.store_pool", o.pool));
  subscriber.set_login(o.login);
  subscriber.set_display_name(o.name);
  subscriber.set_plan(o.plan);
  if (!o.pool.empty()) subscriber.set_store_pool("pools/" + o.pool);
  if (!o.quota.empty()) {
    int64_t octets = 0;
    PROV_RETURN_IF_ERROR(ParseSize(o.quota, octets));
    subscriber.set_quota_bytes(octets);
  }
  PROV_RETURN_IF_ERROR(SetLabels(o.labels, subscriber));
  PROV_RETURN_IF_ERROR(SetWebNames(o.web_names, subscriber));
  subscriber.mutable_entitlements()->set_mail(!o.no_mail);
  subscriber.mutable_entitlements()->set_ftp(o.ftp);
  subscriber.mutable_entitlements()->set_web(o.web);
  PROV_ASSIGN_OR_RETURN(*request.mutable_password(), GetPassword(o.password, o.login));
  auto stub = Subscribers::NewStub(session.channel());
  Subscriber created;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Subscribers::Stub::CreateSubscriber, request, &created));
  return ReportWrite(session, "added", created);
}

struct Login {
  std::string login;
};

absl::Status RunShowUser(Session& session, const Login& o) {
  PROV_RETURN_IF_ERROR(CheckUtf8("name", o.login));
  auto stub = Subscribers::NewStub(session.channel());
  v1::GetSubscriberRequest request;
  request.set_name(ResourceOf(o.login));
  Subscriber subscriber;
  PROV_RETURN_IF_ERROR(session.Invoke(
      [&](grpc::ClientContext* context) { return stub->GetSubscriber(context, request, &subscriber); }));
  PrintSubscriber(session, subscriber);
  return absl::OkStatus();
}

struct ListUsers {
  std::string filter, domain;
  int64_t limit = 0;
  bool show_deleted = false;
};

absl::Status RunListUsers(Session& session, const ListUsers& o) {
  constexpr int64_t kPage = 1000;
  PROV_RETURN_IF_ERROR(CheckUtf8("filter", o.filter + o.domain));
  v1::ListSubscribersRequest request;
  request.set_show_deleted(o.show_deleted);
  request.set_filter(o.filter);
  if (!o.domain.empty()) {
    if (o.domain.find_first_of("\"\\") != std::string::npos)
      return InvalidField("--domain", "is not a domain name");
    request.set_filter(
        fmt::format("{}{}domain = \"{}\"", o.filter, o.filter.empty() ? "" : " AND ", o.domain));
  }
  auto stub = Subscribers::NewStub(session.channel());
  SubscriberListing listing(session.format());
  for (int64_t left = o.limit == 0 ? std::numeric_limits<int64_t>::max() : o.limit; left > 0;) {
    request.set_page_size(static_cast<int32_t>(std::min(left, kPage)));
    v1::ListSubscribersResponse page;
    session.RestartTimeout();
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->ListSubscribers(context, request, &page); }));
    listing.Print(page);
    left -= page.subscribers_size();
    request.set_page_token(page.next_page_token());
    if (request.page_token().empty()) break;
  }
  listing.End(request.page_token());
  return absl::OkStatus();
}

struct UpdateUser {
  std::string login, name, quota, plan;
  std::vector<std::string> labels, web_names, entitlements;
  bool set_name = false, set_plan = false, clear_labels = false, clear_web_names = false;
};

absl::Status RunUpdateUser(Session& session, const UpdateUser& o) {
  v1::UpdateSubscriberRequest request;
  Subscriber& subscriber = *request.mutable_subscriber();
  PROV_RETURN_IF_ERROR(CheckUtf8("subscriber.name", o.login));
  PROV_RETURN_IF_ERROR(CheckUtf8("subscriber.display_name", o.name));
  PROV_RETURN_IF_ERROR(CheckUtf8("subscriber.plan", o.plan));
  subscriber.set_name(ResourceOf(o.login));
  auto& mask = *request.mutable_update_mask();
  if (o.set_name) {
    subscriber.set_display_name(o.name);
    mask.add_paths("display_name");
  }
  if (o.set_plan) {
    subscriber.set_plan(o.plan);
    mask.add_paths("plan");
  }
  if (!o.quota.empty()) {
    int64_t octets = 0;
    PROV_RETURN_IF_ERROR(ParseSize(o.quota, octets));
    subscriber.set_quota_bytes(octets);
    mask.add_paths("quota_bytes");
  }
  if (!o.labels.empty() || o.clear_labels) {
    PROV_RETURN_IF_ERROR(SetLabels(o.labels, subscriber));
    mask.add_paths("labels");
  }
  if (!o.web_names.empty() || o.clear_web_names) {
    PROV_RETURN_IF_ERROR(SetWebNames(o.web_names, subscriber));
    mask.add_paths("web_names");
  }
  if (!o.entitlements.empty()) {
    for (const std::string& name : o.entitlements) {
      if (name == "mail") subscriber.mutable_entitlements()->set_mail(true);
      if (name == "ftp") subscriber.mutable_entitlements()->set_ftp(true);
      if (name == "web") subscriber.mutable_entitlements()->set_web(true);
      if (name == "none") subscriber.mutable_entitlements();
    }
    mask.add_paths("entitlements");
  }
  if (mask.paths().empty()) {
    return InvalidField("update-user",
                        "has nothing to change; give --name, --quota, --plan, --label, --web-name or "
                        "--may-use");
  }
  auto stub = Subscribers::NewStub(session.channel());
  Subscriber updated;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Subscribers::Stub::UpdateSubscriber, request, &updated));
  return ReportWrite(session, "updated", updated);
}

}  // namespace

void AddSubscriberCommands(CLI::App& app, Action& chosen) {
  auto add = std::make_shared<AddUser>();
  CLI::App* command =
      AddCommand(app, chosen, "add-user",
                 "Add a subscriber: login, mailbox, directory entry, accounts on hosts.\n"
                 "Example: provctl add-user alice@example.net --name \"Alice Example\" --ftp --wait",
                 add, RunAddUser);
  command->add_option("login", add->login, "local-part@domain; the domain must be hosted")->required();
  command->add_option("--name", add->name, "for people, at most 200 characters");
  command->add_option("--quota", add->quota, "of mail: 500M, 1G; 0 is the default");
  command->add_option("--plan", add->plan, "billing's name of what was sold");
  command->add_option("--label", add->labels, "KEY=VALUE, billing's own ids; repeatable")
      ->allow_extra_args(false);
  command->add_option("--pool", add->pool, "store pool for the mailbox; else chosen by weight");
  command->add_flag("--ftp", add->ftp, "may use FTP");
  command->add_flag("--web", add->web, "has web space");
  command
      ->add_option("--web-name", add->web_names, "host name of the web space, www.shop.example; repeatable")
      ->allow_extra_args(false);
  command->add_flag("--no-mail", add->no_mail, "has no mail");
  command->add_flag("--password-stdin", add->password.from_stdin, kPasswordStdinHelp);
  add->password.none_is_offered = true;
  command->add_flag("--no-password", add->password.none, "cannot log in until set-password")
      ->excludes("--password-stdin");

  auto show = std::make_shared<Login>();
  AddCommand(app, chosen, "show-user", "Show a subscriber.\nExample: provctl show-user alice@example.net",
             show, RunShowUser)
      ->add_option("login", show->login, "login or id")
      ->required();

  auto list = std::make_shared<ListUsers>();
  command =
      AddCommand(app, chosen, "list-users",
                 "List subscribers.\n"
                 "Example: provctl list-users --filter 'state = \"SUSPENDED\" AND labels.billing = \"4711\"'",
                 list, RunListUsers);
  command->add_option("--filter", list->filter,
                      "terms on state, domain, login (x* for a prefix), web_name, labels.KEY, joined by AND");
  command->add_option("--domain", list->domain, "only of this domain");
  command->add_option("--limit", list->limit, "at most so many; 0: all")->check(CLI::NonNegativeNumber);
  command->add_flag("--show-deleted", list->show_deleted, "closed ones as well");

  auto update = std::make_shared<UpdateUser>();
  command = AddCommand(app, chosen, "update-user",
                       "Change name, quota, plan, labels, names of the web space, or what may be used.\n"
                       "Example: provctl update-user alice@example.net --may-use mail --may-use web",
                       update, RunUpdateUser);
  command->add_option("login", update->login, "login or id")->required();
  command->add_option_function<std::string>(
      "--name",
      [update](const std::string& name) {
        update->name = name;
        update->set_name = true;
      },
      "for people; \"\" takes it away");
  command->add_option_function<std::string>(
      "--plan",
      [update](const std::string& plan) {
        update->plan = plan;
        update->set_plan = true;
      },
      "billing's name of what was sold");
  command->add_option("--quota", update->quota, "500M, 1G; 0 is the default");
  command->add_option("--label", update->labels, "KEY=VALUE; replaces all labels; repeatable")
      ->allow_extra_args(false);
  command->add_flag("--clear-labels", update->clear_labels, "no labels");
  command
      ->add_option("--web-name", update->web_names,
                   "host name of the web space, www.shop.example; replaces all; repeatable")
      ->allow_extra_args(false);
  command->add_flag("--clear-web-names", update->clear_web_names, "no host names of its own");
  command->add_option("--may-use", update->entitlements, "mail, ftp, web, or none; replaces all; repeatable")
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"mail", "ftp", "web", "none"}));
}

}  // namespace prov::cli
