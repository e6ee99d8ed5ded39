// add-list, show-list, list-lists, update-list, delete-list.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "cli/commands.h"
#include "cli/resource_calls.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/lists.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::MailingList;
using v1::MailingLists;

std::string PostingText(const MailingList& list) {
  std::string text = MailingList::Posting_Name(list.posting());
  absl::AsciiStrToLower(&text);
  return text;
}

MailingList::Posting PostingOf(const std::string& text) {
  return text == "owners"   ? MailingList::OWNERS
         : text == "anyone" ? MailingList::ANYONE
                            : MailingList::MEMBERS;
}

// Nothing: not named on the command line.
struct ListOptions {
  std::string address, pool;
  std::vector<std::string> owners;
  std::optional<std::string> name, posting;
};

absl::Status Fill(const ListOptions& o, MailingList& list) {
  std::string all = o.address + o.pool + o.name.value_or("");
  for (const std::string& owner : o.owners) all += owner;
  if (!IsValidUtf8(all)) return InvalidField("mailing_list", "is not valid UTF-8");
  list.set_name("lists/" + o.address);
  if (o.name) list.set_display_name(*o.name);
  for (const std::string& owner : o.owners) list.add_owners(owner);
  if (o.posting) list.set_posting(PostingOf(*o.posting));
  if (!o.pool.empty()) list.set_pool("pools/" + o.pool);
  return absl::OkStatus();
}

absl::Status RunAdd(Session& session, const ListOptions& o) {
  v1::CreateMailingListRequest request;
  PROV_RETURN_IF_ERROR(Fill(o, *request.mutable_mailing_list()));
  auto stub = MailingLists::NewStub(session.channel());
  MailingList created;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &MailingLists::Stub::CreateMailingList, request, &created));
  return ReportWritten(session, "added", created.name(), created);
}

absl::Status RunUpdate(Session& session, const ListOptions& o) {
  v1::UpdateMailingListRequest request;
  PROV_RETURN_IF_ERROR(Fill(o, *request.mutable_mailing_list()));
  if (o.name) request.mutable_update_mask()->add_paths("display_name");
  if (!o.owners.empty()) request.mutable_update_mask()->add_paths("owners");
  if (o.posting) request.mutable_update_mask()->add_paths("posting");
  if (request.update_mask().paths().empty()) {
    return InvalidField("update-list", "has nothing to change; give --name, --owner or --posting");
  }
  auto stub = MailingLists::NewStub(session.channel());
  MailingList updated;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &MailingLists::Stub::UpdateMailingList, request, &updated));
  return ReportWritten(session, "updated", updated.name(), updated);
}

absl::Status RunShow(Session& session, const ListOptions& o) {
  if (!IsValidUtf8(o.address)) return InvalidField("name", "is not valid UTF-8");
  v1::GetMailingListRequest request;
  request.set_name("lists/" + o.address);
  auto stub = MailingLists::NewStub(session.channel());
  MailingList list;
  PROV_RETURN_IF_ERROR(session.Invoke(
      [&](grpc::ClientContext* context) { return stub->GetMailingList(context, request, &list); }));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(list));
    return absl::OkStatus();
  }
  std::vector<std::pair<std::string, std::string>> fields = {{"list", ShortName(list.name())},
                                                             {"name", list.display_name()}};
  for (const std::string& owner : list.owners()) fields.emplace_back("owner", owner);
  fields.emplace_back("who may post", PostingText(list));
  fields.emplace_back("members", std::to_string(list.member_count()));
  fields.emplace_back("pool", ShortName(list.pool()));
  fields.emplace_back("revision", std::to_string(list.revision()));
  fmt::print("{}", ToList(fields));
  return absl::OkStatus();
}

absl::Status RunDelete(Session& session, const ListOptions& o) {
  if (!IsValidUtf8(o.address)) return InvalidField("name", "is not valid UTF-8");
  v1::DeleteMailingListRequest request;
  request.set_name("lists/" + o.address);
  auto stub = MailingLists::NewStub(session.channel());
  v1::DeleteMailingListResponse removed;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &MailingLists::Stub::DeleteMailingList, request, &removed));
  return ReportWritten(session, "removed", request.name(), removed);
}

struct ListListsOptions {
  std::string filter;
  int64_t limit = 0;
};

absl::Status RunListLists(Session& session, const ListListsOptions& o) {
  constexpr int64_t kPage = 1000;
  if (!IsValidUtf8(o.filter)) return InvalidField("filter", "is not valid UTF-8");
  v1::ListMailingListsRequest request;
  request.set_filter(o.filter);
  auto stub = MailingLists::NewStub(session.channel());
  Table table({"LIST", "MEMBERS", "WHO MAY POST", "POOL", "NAME"});
  bool begun = false;
  for (int64_t left = o.limit == 0 ? std::numeric_limits<int64_t>::max() : o.limit; left > 0;) {
    request.set_page_size(static_cast<int32_t>(std::min(left, kPage)));
    v1::ListMailingListsResponse page;
    session.RestartTimeout();
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->ListMailingLists(context, request, &page); }));
    std::vector<std::vector<std::string>> rows;
    for (const MailingList& list : page.mailing_lists()) {
      if (session.format() == Format::kJson) {
        fmt::print("{}{}", begun ? "," : "{\"mailing_lists\": [\n", ToJson(list));
        begun = true;
      }
      rows.push_back({ShortName(list.name()), std::to_string(list.member_count()), PostingText(list),
                      ShortName(list.pool()), list.display_name()});
    }
    if (session.format() == Format::kTable) fmt::print("{}", table.Rows(rows));
    left -= page.mailing_lists_size();
    request.set_page_token(page.next_page_token());
    if (request.page_token().empty()) break;
  }
  if (session.format() == Format::kJson) {
    fmt::print("{}], \"next_page_token\": \"{}\"}}\n", begun ? "" : "{\"mailing_lists\": [",
               request.page_token());
  }
  return absl::OkStatus();
}

void AddPostingOption(CLI::App* command, const std::shared_ptr<ListOptions>& options) {
  command
      ->add_option("--posting", options->posting, "who may post: members (when not given), owners or anyone")
      ->check(CLI::IsMember({"members", "owners", "anyone"}));
}

}  // namespace

void AddMailingListCommands(CLI::App& app, Action& chosen) {
  auto add = std::make_shared<ListOptions>();
  CLI::App* command = AddCommand(app, chosen, "add-list",
                                 "Make a mailing list, without members yet.\n"
                                 "Example: provctl add-list staff@example.net --owner alice@example.net",
                                 add, RunAdd);
  command->add_option("address", add->address, "of the list; the domain must be hosted")->required();
  command->add_option("--owner", add->owners, "address that gets bounces and requests; repeatable")
      ->required()
      ->allow_extra_args(false);
  command->add_option("--name", add->name, "for people, at most 200 characters");
  AddPostingOption(command, add);
  command->add_option("--pool", add->pool, "list pool that expands it; else chosen by weight");

  auto show = std::make_shared<ListOptions>();
  AddCommand(app, chosen, "show-list", "Show a mailing list.\nExample: provctl show-list staff@example.net",
             show, RunShow)
      ->add_option("address", show->address, "as list-lists shows it")
      ->required();

  auto list = std::make_shared<ListListsOptions>();
  command = AddCommand(app, chosen, "list-lists",
                       "List mailing lists.\n"
                       "Example: provctl list-lists --filter 'domain = \"example.net\"'",
                       list, RunListLists);
  command->add_option("--filter", list->filter, "terms on domain, address (x* for a prefix), joined by AND");
  command->add_option("--limit", list->limit, "at most so many; 0: all")->check(CLI::NonNegativeNumber);

  auto update = std::make_shared<ListOptions>();
  command = AddCommand(app, chosen, "update-list",
                       "Change a list's name, owners or who may post.\n"
                       "Example: provctl update-list staff@example.net --posting owners",
                       update, RunUpdate);
  command->add_option("address", update->address, "as list-lists shows it")->required();
  command->add_option("--owner", update->owners, "replaces all owners; repeatable")->allow_extra_args(false);
  command->add_option("--name", update->name, "for people; \"\" takes it away");
  AddPostingOption(command, update);

  auto remove = std::make_shared<ListOptions>();
  AddCommand(
      app, chosen, "delete-list",
      "Remove a mailing list and its members. Its address can be given out again when the last member is "
      "gone, which takes moments for thousands.\n"
      "Example: provctl delete-list staff@example.net",
      remove, RunDelete)
      ->add_option("address", remove->address, "as list-lists shows it")
      ->required();
}

}  // namespace prov::cli
