#include "server/store/mailing_list_repository.h"

#include <fmt/format.h>

#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/postgres_error.h"
#include "server/store/rows.h"

namespace prov::store {
namespace {

using model::MailingList;
using model::Member;

constexpr size_t kMembersInFirstStep = 500;

constexpr Statement kInsert = {
    "insert_mailing_list",
    "INSERT INTO prov.mailing_list (address, domain, display_name, owners, posting, pool, revision) "
    "VALUES ($1, $2, $3, $4::jsonb, $5, $6, $7) ON CONFLICT DO NOTHING"};
constexpr Statement kTakeAddress = {"take_list_address", R"(
INSERT INTO prov.address (address, domain, mailing_list) VALUES ($1, $2, $1)
ON CONFLICT (address) DO UPDATE SET mailing_list = excluded.mailing_list, reserved_until = NULL
  WHERE prov.address.reserved_until < now())"};
constexpr Statement kSave = {
    "save_mailing_list",
    "UPDATE prov.mailing_list SET display_name = $2, owners = $3::jsonb, posting = $4, update_time = now(), "
    "revision = $5 WHERE address = $1"};
// Nobody gets the address before the last member is gone: he would be sent to the next list of that name.
constexpr Statement kHoldAddress = {
    "hold_list_address",
    "UPDATE prov.address SET mailing_list = NULL, reserved_until = 'infinity' WHERE address = $1"};
constexpr Statement kRemove = {"remove_mailing_list", "DELETE FROM prov.mailing_list WHERE address = $1"};
constexpr Statement kAwaitRemoval = {"await_list_removal",
                                     "INSERT INTO prov.mailing_list_removal (address) VALUES ($1)"};

constexpr Statement kChoosePool = {"choose_list_pool", R"(
SELECT CASE WHEN $1 <> '' THEN (SELECT id FROM prov.pool WHERE id = $1 AND role = 'list')
  ELSE (SELECT id FROM prov.pool WHERE role = 'list' AND weight > 0 ORDER BY -ln(1 - random()) / weight LIMIT 1) END)"};

// Only the row's counter moves: the list's own revision, and so its etag, is not its members' matter.
constexpr Statement kCountIn = {
    "count_member_in",
    "UPDATE prov.mailing_list SET member_count = member_count + 1 WHERE address = $1 AND member_count < $2 "
    "RETURNING pool"};
constexpr Statement kCountOut = {
    "count_member_out", "UPDATE prov.mailing_list SET member_count = member_count - 1 WHERE address = $1"};
constexpr Statement kAddMember = {"add_member",
                                  "INSERT INTO prov.mailing_list_member (list, address, revision) VALUES "
                                  "($1, $2, $3) ON CONFLICT DO NOTHING "
                                  "RETURNING (date_part('epoch', create_time) * 1e6)::bigint"};
constexpr Statement kRemoveMember = {"remove_member",
                                     "DELETE FROM prov.mailing_list_member WHERE list = $1 AND address = $2"};

constexpr Statement kNextRemoval = {"next_list_removal",
                                    "SELECT address FROM prov.mailing_list_removal ORDER BY address LIMIT 1"};
constexpr Statement kRemoveMembers = {"remove_members",
                                      "DELETE FROM prov.mailing_list_member WHERE list = $1 AND address IN "
                                      "(SELECT address FROM prov.mailing_list_member WHERE list = $1 ORDER "
                                      "BY address LIMIT $2) RETURNING address"};
constexpr Statement kRemovalDone = {"list_removal_done",
                                    "DELETE FROM prov.mailing_list_removal WHERE address = $1"};
constexpr Statement kFreeAddress = {
    "free_list_address", "DELETE FROM prov.address WHERE address = $1 AND reserved_until = 'infinity'"};

const std::string& SelectByAddress() {
  static const std::string sql =
      fmt::format("SELECT {} FROM prov.mailing_list l WHERE l.address = $1", kMailingListColumns);
  return sql;
}

absl::Status NotFound(std::string_view field, const std::string& address) {
  return FieldError(
      absl::StatusCode::kNotFound, field, "LIST_UNKNOWN",
      fmt::format("there is no mailing list {}; provctl list-lists shows those there are", address));
}

std::string LikePrefix(const std::string& prefix) {
  std::string pattern;
  for (const char c : prefix) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + "%";
}

}  // namespace

absl::StatusOr<MailingList> MailingListRepository::Get(const std::string& address) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read a mailing list", [&]() -> absl::StatusOr<MailingList> {
    pqxx::read_transaction read(*lease);
    const pqxx::result found = read.exec_params(SelectByAddress(), address);
    if (found.empty()) return NotFound("name", address);
    return MailingListOf(found[0]);
  });
}

absl::StatusOr<std::vector<MailingList>> MailingListRepository::List(const MailingListQuery& query) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("list mailing lists", [&]() -> absl::StatusOr<std::vector<MailingList>> {
    pqxx::read_transaction read(*lease);
    std::string where = "l.address > $1";
    std::vector<std::string> values;
    const auto add = [&](std::string_view condition, std::string value) {
      values.push_back(std::move(value));
      where += fmt::format(" AND {} ${}", condition, values.size() + 2);
    };
    if (!query.domain.empty()) add("l.domain =", query.domain);
    if (!query.address_prefix.empty()) add("l.address LIKE", LikePrefix(query.address_prefix));
    const std::string sql =
        fmt::format("SELECT {} FROM prov.mailing_list l WHERE {} ORDER BY l.address LIMIT $2",
                    kMailingListColumns, where);
    std::vector<MailingList> lists;
    for (const auto& row :
         read.exec_params(sql, query.after, query.limit, pqxx::prepare::make_dynamic_params(values))) {
      lists.push_back(MailingListOf(row));
    }
    return lists;
  });
}

absl::StatusOr<std::vector<Member>> MailingListRepository::ListMembers(const std::string& list,
                                                                       const std::string& after,
                                                                       size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("list members", [&]() -> absl::StatusOr<std::vector<Member>> {
    pqxx::read_transaction read(*lease);
    if (read.exec_params("SELECT 1 FROM prov.mailing_list WHERE address = $1", list).empty()) {
      return NotFound("parent", list);
    }
    std::vector<Member> members;
    for (const auto& row : read.exec_params(
             fmt::format(
                 "SELECT {} FROM prov.mailing_list_member m JOIN prov.mailing_list l ON l.address = m.list "
                 "WHERE m.list = $1 AND m.address > $2 ORDER BY m.address LIMIT $3",
                 kMemberColumns),
             list, after, limit)) {
      members.push_back(MemberOf(row));
    }
    return members;
  });
}

absl::StatusOr<MailingList> MailingListRepository::Find(WriteTransaction& write, const std::string& address) {
  const pqxx::result found = write.Execute({"mailing_list_by_address", SelectByAddress().c_str()}, address);
  if (found.empty()) return NotFound("name", address);
  return MailingListOf(found[0]);
}

absl::StatusOr<std::string> MailingListRepository::ChoosePool(WriteTransaction& write,
                                                              const std::string& wanted) {
  return write.Execute(kChoosePool, wanted)[0][0].as<std::string>("");
}

absl::StatusOr<MailingList> MailingListRepository::Insert(WriteTransaction& write, const MailingList& list,
                                                          const std::string& domain) {
  const auto made = write.Execute(kInsert, list.address, domain, list.display_name, ToJson(list.owners),
                                  std::string(model::PostingName(list.posting)), list.pool, write.revision());
  if (made.affected_rows() == 0 || write.Execute(kTakeAddress, list.address, domain).affected_rows() == 0) {
    return FieldError(
        absl::StatusCode::kAlreadyExists, "mailing_list.name", "ADDRESS_TAKEN",
        fmt::format("{} belongs to a subscriber or list, is reserved after a purge, or is that of a "
                    "list whose members are still being removed",
                    list.address));
  }
  write.AddChange(AggregateKind::kMailingList, list.address);
  return Find(write, list.address);
}

absl::StatusOr<MailingList> MailingListRepository::Save(WriteTransaction& write, const MailingList& list) {
  write.Execute(kSave, list.address, list.display_name, ToJson(list.owners),
                std::string(model::PostingName(list.posting)), write.revision());
  write.AddChange(AggregateKind::kMailingList, list.address);
  return Find(write, list.address);
}

absl::Status MailingListRepository::Remove(WriteTransaction& write, const std::string& address) {
  write.Execute(kHoldAddress, address);
  if (write.Execute(kRemove, address).affected_rows() == 0) return NotFound("name", address);
  write.AddChange(AggregateKind::kMailingList, address, true);
  write.Execute(kAwaitRemoval, address);
  return RemoveMembersOf(write, address, kMembersInFirstStep);
}

absl::StatusOr<Member> MailingListRepository::AddMember(WriteTransaction& write, const std::string& list,
                                                        const std::string& address) {
  const pqxx::result counted = write.Execute(kCountIn, list, model::kMaxMembers);
  if (counted.empty()) {
    PROV_RETURN_IF_ERROR(Annotate(Find(write, list).status(), "parent"));
    return FieldError(absl::StatusCode::kResourceExhausted, "parent", "LIST_FULL",
                      fmt::format("{} has {} members, as many as a list may have", list, model::kMaxMembers));
  }
  const pqxx::result added = write.Execute(kAddMember, list, address, write.revision());
  if (added.empty()) {
    return FieldError(absl::StatusCode::kAlreadyExists, "address", "MEMBER_EXISTS",
                      fmt::format("{} is a member of {}", address, list));
  }
  write.AddChange(AggregateKind::kMember, model::MemberKey(list, address));
  return Member{list, address, counted[0][0].as<std::string>(),
                model::Time(std::chrono::microseconds(added[0][0].as<int64_t>())), write.revision()};
}

absl::Status MailingListRepository::RemoveMember(WriteTransaction& write, const std::string& list,
                                                 const std::string& address) {
  if (write.Execute(kCountOut, list).affected_rows() == 0) return NotFound("name", list);
  if (write.Execute(kRemoveMember, list, address).affected_rows() == 0) {
    return FieldError(absl::StatusCode::kNotFound, "name", "MEMBER_UNKNOWN",
                      fmt::format("{} is no member of {}", address, list));
  }
  write.AddChange(AggregateKind::kMember, model::MemberKey(list, address), true);
  return absl::OkStatus();
}

absl::Status MailingListRepository::RemoveMembersOf(WriteTransaction& write, const std::string& list,
                                                    size_t limit) {
  const pqxx::result removed = write.Execute(kRemoveMembers, list, limit);
  for (const auto& row : removed) {
    write.AddChange(AggregateKind::kMember, model::MemberKey(list, row[0].as<std::string>()), true);
  }
  if (removed.size() == limit) return absl::OkStatus();  // there may be more
  write.Execute(kRemovalDone, list);
  write.Execute(kFreeAddress, list);
  return absl::OkStatus();
}

absl::StatusOr<std::string> MailingListRepository::RemoveSomeMembers(WriteTransaction& write, size_t limit) {
  const pqxx::result next = write.Execute(kNextRemoval);
  if (next.empty()) return std::string();
  const auto list = next[0][0].as<std::string>();
  PROV_RETURN_IF_ERROR(RemoveMembersOf(write, list, limit));
  return list;
}

absl::StatusOr<bool> MailingListRepository::HasMembersToRemove() {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("look for removed lists", [&]() -> absl::StatusOr<bool> {
    pqxx::read_transaction read(*lease);
    return read.exec1("SELECT EXISTS (SELECT 1 FROM prov.mailing_list_removal)")[0].as<bool>();
  });
}

}  // namespace prov::store
