// set-password, add-alias, remove-alias, set-forward.
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
  return ReportWrite(session, "set the password of", updated);
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

}  // namespace

void AddMailboxCommands(CLI::App& app, Action& chosen) {
  auto password = std::make_shared<SetPasswordOptions>();
  CLI::App* command = AddCommand(app, chosen, "set-password",
                                 "Set a subscriber's password; the old one ends at once.\n"
                                 "Example: provctl set-password alice@example.net",
                                 password, RunSetPassword);
  command->add_option("login", password->login, "login or id")->required();
  command->add_flag("--password-stdin", password->password.from_stdin, kPasswordStdinHelp);

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
