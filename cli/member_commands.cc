// add-member, remove-member, list-members.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/lists.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::MailingLists;
using v1::Member;

constexpr size_t kMostLineOctets = 1000;

struct MemberOptions {
  std::string list, file;
  std::vector<std::string> addresses;
};

// Calls `each` for the addresses given, then for each line of the file that is neither empty nor a comment.
absl::Status EachAddress(const MemberOptions& o,
                         const std::function<absl::Status(const std::string&)>& each) {
  for (const std::string& address : o.addresses) PROV_RETURN_IF_ERROR(each(address));
  if (o.file.empty()) return absl::OkStatus();
  std::ifstream file;
  if (o.file != "-") file.open(o.file);
  std::istream& input = o.file == "-" ? std::cin : file;
  if (!input) return InvalidField("--from", fmt::format("{} cannot be read", Safe(o.file)));
  std::string line;
  for (size_t number = 1; std::getline(input, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    const auto at_line = [&](const absl::Status& status) {
      return Annotate(status, fmt::format("line {}", number));
    };
    if (line.size() > kMostLineOctets)
      return at_line(InvalidField("--from", "is no address: the line is too long"));
    PROV_RETURN_IF_ERROR(at_line(each(line)));
  }
  if (input.bad()) return InvalidField("--from", fmt::format("{} cannot be read", Safe(o.file)));
  return absl::OkStatus();
}

// What was done to several members, as people and programs are told.
struct Tally {
  uint64_t done = 0, already = 0, revision = 0;
};

absl::Status Report(Session& session, std::string_view done, std::string_view already, const MemberOptions& o,
                    const Tally& tally) {
  if (session.format() == Format::kJson) {
    fmt::print("{{\"done\": {}, \"already\": {}, \"revision\": \"{}\"}}\n", tally.done, tally.already,
               tally.revision);
  } else if (!session.options.quiet) {
    const std::string what =
        fmt::format("{} of lists/{}{}", tally.done == 1 ? "1 member" : fmt::format("{} members", tally.done),
                    o.list, tally.already == 0 ? "" : fmt::format(", {} {}", tally.already, already));
    fmt::print("{}\n", WriteText(session, done, Safe(what), tally.revision));
  }
  return session.WaitIfAsked(tally.revision);
}

// One write for each address, with a request id of its own; `already` is the code of a write that is not
// needed, so that the same command may be run again.
template <typename Request, typename Response>
absl::Status WriteEach(Session& session, const MemberOptions& o, absl::StatusCode already, Tally& tally,
                       const std::function<Request(const std::string& address)>& make,
                       grpc::Status (MailingLists::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                  Response*)) {
  auto stub = MailingLists::NewStub(session.channel());
  const bool one = o.file.empty() && o.addresses.size() == 1;
  size_t number = 0;
  return EachAddress(o, [&](const std::string& address) -> absl::Status {
    if (!IsValidUtf8(o.list + address)) return InvalidField("address", "is not valid UTF-8");
    Response response;
    session.RestartTimeout();
    const absl::Status status =
        session.WriteAs(one ? session.request_id() : fmt::format("{}/{}", session.request_id(), ++number),
                        *stub, method, make(address), &response);
    if (!one && status.code() == already) {
      ++tally.already;
      return absl::OkStatus();
    }
    PROV_RETURN_IF_ERROR(status);
    ++tally.done;
    tally.revision = std::max<uint64_t>(tally.revision, response.revision());
    return absl::OkStatus();
  });
}

absl::Status CheckSomething(const MemberOptions& o) {
  if (!o.addresses.empty() || !o.file.empty()) return absl::OkStatus();
  return InvalidField("address", "is not given; name one or more, or a file with --from");
}

absl::Status RunAdd(Session& session, const MemberOptions& o) {
  PROV_RETURN_IF_ERROR(CheckSomething(o));
  Tally tally;
  const auto make = [&](const std::string& address) {
    v1::AddMemberRequest request;
    request.set_parent("lists/" + o.list);
    request.set_address(address);
    return request;
  };
  PROV_RETURN_IF_ERROR((WriteEach<v1::AddMemberRequest, Member>(
      session, o, absl::StatusCode::kAlreadyExists, tally, make, &MailingLists::Stub::AddMember)));
  return Report(session, "added", "were there already", o, tally);
}

absl::Status RunRemove(Session& session, const MemberOptions& o) {
  PROV_RETURN_IF_ERROR(CheckSomething(o));
  Tally tally;
  const auto make = [&](const std::string& address) {
    v1::RemoveMemberRequest request;
    request.set_name("lists/" + o.list + "/members/" + address);
    return request;
  };
  PROV_RETURN_IF_ERROR((WriteEach<v1::RemoveMemberRequest, v1::RemoveMemberResponse>(
      session, o, absl::StatusCode::kNotFound, tally, make, &MailingLists::Stub::RemoveMember)));
  return Report(session, "removed", "were not there", o, tally);
}

struct ListMembersOptions {
  std::string list;
  int64_t limit = 0;
};

absl::Status RunList(Session& session, const ListMembersOptions& o) {
  constexpr int64_t kPage = 1000;
  if (!IsValidUtf8(o.list)) return InvalidField("parent", "is not valid UTF-8");
  v1::ListMembersRequest request;
  request.set_parent("lists/" + o.list);
  auto stub = MailingLists::NewStub(session.channel());
  Table table({"MEMBER", "REVISION"});
  bool begun = false;
  for (int64_t left = o.limit == 0 ? std::numeric_limits<int64_t>::max() : o.limit; left > 0;) {
    request.set_page_size(static_cast<int32_t>(std::min(left, kPage)));
    v1::ListMembersResponse page;
    session.RestartTimeout();
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->ListMembers(context, request, &page); }));
    std::vector<std::vector<std::string>> rows;
    for (const Member& member : page.members()) {
      if (session.format() == Format::kJson) {
        fmt::print("{}{}", begun ? "," : "{\"members\": [\n", ToJson(member));
        begun = true;
      }
      rows.push_back({member.name().substr(member.name().rfind('/') + 1), std::to_string(member.revision())});
    }
    if (session.format() == Format::kTable) fmt::print("{}", table.Rows(rows));
    left -= page.members_size();
    request.set_page_token(page.next_page_token());
    if (request.page_token().empty()) break;
  }
  if (session.format() == Format::kJson) {
    fmt::print("{}], \"next_page_token\": \"{}\"}}\n", begun ? "" : "{\"members\": [", request.page_token());
  }
  return absl::OkStatus();
}

}  // namespace

void AddMemberCommands(CLI::App& app, Action& chosen) {
  const auto add = [&](const char* name, const char* description,
                       absl::Status (*run)(Session&, const MemberOptions&)) {
    auto options = std::make_shared<MemberOptions>();
    CLI::App* command = AddCommand(app, chosen, name, description, options, run);
    command->add_option("list", options->list, "as list-lists shows it")->required();
    command->add_option("address", options->addresses,
                        "of the member, here or elsewhere; several may be given");
    command->add_option("--from", options->file, "file with an address on each line; - is standard input");
  };
  add("add-member",
      "Add members to a list. Of several, those that are there already are counted and passed over.\n"
      "Example: provctl add-member staff@example.net bob@example.org",
      RunAdd);
  add("remove-member",
      "Remove members of a list. Of several, those that are not there are counted and passed over.\n"
      "Example: provctl remove-member staff@example.net bob@example.org",
      RunRemove);
  auto list = std::make_shared<ListMembersOptions>();
  CLI::App* command = AddCommand(
      app, chosen, "list-members",
      "List the members of a list.\nExample: provctl list-members staff@example.net", list, RunList);
  command->add_option("list", list->list, "as list-lists shows it")->required();
  command->add_option("--limit", list->limit, "at most so many; 0: all")->check(CLI::NonNegativeNumber);
}

}  // namespace prov::cli
