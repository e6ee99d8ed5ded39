// add-user, show-user, list-users, update-user, set-password, add-alias, remove-alias, set-forward.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/password_prompt.h"
#include "cli/subscriber_output.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/subscribers.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Subscriber;
using v1::Subscribers;

std::string ResourceOf(const std::string& login) { return "subscribers/" + login; }

// protobuf would refuse to send it without saying which field it was.
absl::Status CheckUtf8(std::string_view field, std::string_view text) {
  if (IsValidUtf8(text)) return absl::OkStatus();
  return InvalidField(field, fmt::format("\"{}\" is not valid UTF-8", Safe(text.substr(0, 60))));
}

absl::Status SetLabels(const std::vector<std::string>& labels, Subscriber& subscriber) {
  for (const std::string& label : labels) {
    const size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0) {
      return InvalidField("--label", fmt::format("\"{}\" is not KEY=VALUE", Safe(label.substr(0, 60))));
    }
    PROV_RETURN_IF_ERROR(CheckUtf8("subscriber.labels", label));
    (*subscriber.mutable_labels())[label.substr(0, equals)] = label.substr(equals + 1);
  }
  return absl::OkStatus();
}

struct PasswordSource {
  bool from_stdin = false;
  bool none = false;
};

absl::StatusOr<std::string> GetPassword(const PasswordSource& source, const std::string& login) {
  if (source.none) return std::string();
  absl::StatusOr<std::string> password =
      source.from_stdin ? ReadPasswordFromStdin() : PromptForPassword(login);
  if (!password.ok()) return password;
  if (password->empty()) return InvalidField("password", "is empty");
  if (!IsValidUtf8(*password)) return InvalidField("password", "is not valid UTF-8");
  return password;
}

struct AddUser {
  std::string login, name, quota, plan, pool;
  std::vector<std::string> labels;
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
  constexpr int kPage = 1000;
  PROV_RETURN_IF_ERROR(CheckUtf8("filter", o.filter + o.domain));
  v1::ListSubscribersRequest request;
  request.set_page_size(kPage);
  request.set_show_deleted(o.show_deleted);
  request.set_filter(o.filter);
  if (!o.domain.empty()) {
    if (o.domain.find_first_of("\"\\") != std::string::npos)
      return InvalidField("--domain", "is not a domain name");
    request.set_filter(
        fmt::format("{}{}domain = \"{}\"", o.filter, o.filter.empty() ? "" : " AND ", o.domain));
  }
  auto stub = Subscribers::NewStub(session.channel());
  v1::ListSubscribersResponse all;
  do {
    v1::ListSubscribersResponse page;
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->ListSubscribers(context, request, &page); }));
    for (Subscriber& subscriber : *page.mutable_subscribers()) {
      if (o.limit == 0 || all.subscribers_size() < o.limit) *all.add_subscribers() = std::move(subscriber);
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && (o.limit == 0 || all.subscribers_size() < o.limit));
  PrintSubscribers(session, all);
  return absl::OkStatus();
}

struct UpdateUser {
  std::string login, name, quota, plan;
  std::vector<std::string> labels, entitlements;
  bool set_name = false, set_plan = false, clear_labels = false;
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
                        "has nothing to change; give --name, --quota, --plan, --label or --may-use");
  }
  auto stub = Subscribers::NewStub(session.channel());
  Subscriber updated;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Subscribers::Stub::UpdateSubscriber, request, &updated));
  return ReportWrite(session, "updated", updated);
}

struct SetPasswordOptions {
  std::string login;
  PasswordSource password;
};

absl::Status RunSetPassword(Session& session, const SetPasswordOptions& o) {
  PROV_RETURN_IF_ERROR(CheckUtf8("name", o.login));
  v1::SetPasswordRequest request;
  request.set_name(ResourceOf(o.login));
  PROV_ASSIGN_OR_RETURN(*request.mutable_password(), GetPassword(o.password, o.login));
  auto stub = Subscribers::NewStub(session.channel());
  Subscriber updated;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Subscribers::Stub::SetPassword, request, &updated));
  return ReportWrite(session, "new password for", updated);
}

struct AliasOptions {
  std::string login, address;
};

absl::Status RunAddAlias(Session& session, const AliasOptions& o) {
  PROV_RETURN_IF_ERROR(CheckUtf8("name", o.login));
  PROV_RETURN_IF_ERROR(CheckUtf8("address", o.address));
  v1::AddAddressRequest request;
  request.set_name(ResourceOf(o.login));
  request.set_address(o.address);
  auto stub = Subscribers::NewStub(session.channel());
  Subscriber updated;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Subscribers::Stub::AddAddress, request, &updated));
  return ReportWrite(session, "added an alias to", updated);
}

absl::Status RunRemoveAlias(Session& session, const AliasOptions& o) {
  PROV_RETURN_IF_ERROR(CheckUtf8("name", o.login));
  PROV_RETURN_IF_ERROR(CheckUtf8("address", o.address));
  v1::RemoveAddressRequest request;
  request.set_name(ResourceOf(o.login));
  request.set_address(o.address);
  auto stub = Subscribers::NewStub(session.channel());
  Subscriber updated;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Subscribers::Stub::RemoveAddress, request, &updated));
  return ReportWrite(session, "removed an alias of", updated);
}

struct ForwardOptions {
  std::string login;
  std::vector<std::string> targets;
  bool keep_copy = false, none = false;
};

absl::Status RunSetForward(Session& session, const ForwardOptions& o) {
  PROV_RETURN_IF_ERROR(CheckUtf8("name", o.login));
  if (o.none != o.targets.empty()) {
    return InvalidField("forward.targets", "give the addresses to forward to, or --none to end forwarding");
  }
  v1::SetForwardRequest request;
  request.set_name(ResourceOf(o.login));
  for (const std::string& target : o.targets) {
    PROV_RETURN_IF_ERROR(CheckUtf8("forward.targets", target));
    request.mutable_forward()->add_targets(target);
  }
  request.mutable_forward()->set_keep_copy(o.keep_copy);
  auto stub = Subscribers::NewStub(session.channel());
  Subscriber updated;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Subscribers::Stub::SetForward, request, &updated));
  return ReportWrite(session, o.none ? "ended the forward of" : "set the forward of", updated);
}

void AddPasswordOptions(CLI::App* command, PasswordSource& source) {
  command->add_flag("--password-stdin", source.from_stdin,
                    "read the password from standard input; else it is asked for");
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
  command->add_option("--label", add->labels, "KEY=VALUE, billing's own ids; repeatable")->take_all();
  command->add_option("--pool", add->pool, "store pool for the mailbox; else chosen by weight");
  command->add_flag("--ftp", add->ftp, "may use FTP");
  command->add_flag("--web", add->web, "has web space");
  command->add_flag("--no-mail", add->no_mail, "has no mail");
  AddPasswordOptions(command, add->password);
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
                      "terms on state, domain, login (x* for a prefix), labels.KEY, joined by AND");
  command->add_option("--domain", list->domain, "only of this domain");
  command->add_option("--limit", list->limit, "at most so many; 0: all")->check(CLI::NonNegativeNumber);
  command->add_flag("--show-deleted", list->show_deleted, "closed ones as well");

  auto update = std::make_shared<UpdateUser>();
  command = AddCommand(app, chosen, "update-user",
                       "Change name, quota, plan, labels or what may be used.\n"
                       "Example: provctl update-user alice@example.net --may-use mail --may-use web",
                       update, RunUpdateUser);
  command->add_option("login", update->login, "login or id")->required();
  command->add_option_function<std::string>("--name", [update](const std::string& name) {
    update->name = name;
    update->set_name = true;
  });
  command->add_option_function<std::string>("--plan", [update](const std::string& plan) {
    update->plan = plan;
    update->set_plan = true;
  });
  command->add_option("--quota", update->quota, "500M, 1G; 0 is the default");
  command->add_option("--label", update->labels, "KEY=VALUE; replaces all labels; repeatable")->take_all();
  command->add_flag("--clear-labels", update->clear_labels, "no labels");
  command->add_option("--may-use", update->entitlements, "mail, ftp, web, or none; replaces all; repeatable")
      ->take_all()
      ->check(CLI::IsMember({"mail", "ftp", "web", "none"}));

  auto password = std::make_shared<SetPasswordOptions>();
  command = AddCommand(app, chosen, "set-password",
                       "Set a subscriber's password; the old one ends at once.\n"
                       "Example: provctl set-password alice@example.net",
                       password, RunSetPassword);
  command->add_option("login", password->login, "login or id")->required();
  AddPasswordOptions(command, password->password);

  auto add_alias = std::make_shared<AliasOptions>();
  command = AddCommand(app, chosen, "add-alias",
                       "Add an address.\nExample: provctl add-alias alice@example.net sales@example.net",
                       add_alias, RunAddAlias);
  command->add_option("login", add_alias->login, "login or id")->required();
  command->add_option("address", add_alias->address, "in a hosted domain")->required();

  auto remove_alias = std::make_shared<AliasOptions>();
  command = AddCommand(app, chosen, "remove-alias",
                       "Take an address away; not the login.\n"
                       "Example: provctl remove-alias alice@example.net sales@example.net",
                       remove_alias, RunRemoveAlias);
  command->add_option("login", remove_alias->login, "login or id")->required();
  command->add_option("address", remove_alias->address, "one of its addresses")->required();

  auto forward = std::make_shared<ForwardOptions>();
  command = AddCommand(app, chosen, "set-forward",
                       "Forward a subscriber's mail.\n"
                       "Example: provctl set-forward alice@example.net bob@example.org --keep-copy",
                       forward, RunSetForward);
  command->add_option("login", forward->login, "login or id")->required();
  command->add_option("target", forward->targets, "addresses, at most 20");
  command->add_flag("--keep-copy", forward->keep_copy, "deliver to the mailbox as well");
  command->add_flag("--none", forward->none, "end forwarding");
}

}  // namespace prov::cli
