#include "server/directory/session.h"

#include <algorithm>
#include <set>

#include "common/status.h"
#include "server/directory/mapping.h"

namespace prov::directory {
namespace {

using ldap::Filter;

// Members of one OR: the server tries each of them on each candidate.
constexpr size_t kFilterMembers = 100;

std::vector<Filter> FiltersOf(const std::vector<Item>& items, const EntryKind& kind) {
  std::vector<Filter> filters;
  for (const Item& item : items) {
    if (item.kind != kind.aggregate) continue;
    filters.push_back(Filter::Equal(kind.key, item.key));
    // Subscribers are found by name too: a login may have had another owner.
    if (std::string_view(kind.name) != kind.key && item.wanted.has_value())
      filters.push_back(Filter::Equal(kind.name, item.wanted->attributes.at(kind.name).front()));
  }
  return filters;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> Session::Open(const SessionOptions& options) {
  PROV_ASSIGN_OR_RETURN(std::unique_ptr<ldap::Connection> connection,
                        ldap::Connection::Open(options.connect));
  PROV_RETURN_IF_ERROR(connection->Bind(options.bind_dn, options.password));
  bool transactional = options.use_transactions;
  if (transactional) {
    PROV_ASSIGN_OR_RETURN(transactional, connection->OffersTransactions());
  }
  return std::unique_ptr<Session>(new Session(std::move(connection), options.base, transactional));
}

absl::Status Session::EnsureLayout() {
  std::vector<ldap::Entry> layout;
  for (const char* name : {"people", "domains", "lists", "system"}) {
    layout.push_back(
        {std::string("ou=") + name + "," + base_, {{"objectClass", {"organizationalUnit"}}, {"ou", {name}}}});
  }
  layout.push_back(CursorEntry(base_, Cursor()));
  for (const ldap::Entry& entry : layout) {
    const auto found = connection_->Search({.base = entry.dn,
                                            .scope = ldap::Scope::kBase,
                                            .filter = Filter::Present("objectClass"),
                                            .attributes = {"1.1"}});
    if (found.ok()) continue;
    if (!absl::IsNotFound(found.status())) return found.status();
    const absl::Status added = connection_->Apply(ldap::Add{entry});
    if (absl::IsNotFound(added)) {
      return absl::FailedPreconditionError(
          base_ + " is not in the directory; load schema/ldap/base.ldif.in, see its README");
    }
    if (!added.ok() && !absl::IsAlreadyExists(added)) return Annotate(added, "making " + entry.dn);
  }
  return absl::OkStatus();
}

absl::Status Session::ReadCursor() {
  PROV_ASSIGN_OR_RETURN(const std::vector<ldap::Entry> found,
                        connection_->Search({.base = CursorDn(base_),
                                             .scope = ldap::Scope::kBase,
                                             .filter = Filter::Present("objectClass"),
                                             .attributes = {"provRevision", "provFailing"}}));
  if (found.empty()) return absl::NotFoundError(CursorDn(base_) + " is not to be seen");
  PROV_ASSIGN_OR_RETURN(cursor_, ParseCursor(found.front()));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ldap::Entry>> Session::FindCurrent(const std::vector<Item>& items) {
  std::vector<ldap::Entry> entries;
  std::set<std::string> seen;
  for (const EntryKind& kind : EntryKinds()) {
    const std::vector<Filter> filters = FiltersOf(items, kind);
    for (size_t start = 0; start < filters.size(); start += kFilterMembers) {
      const size_t end = std::min(start + kFilterMembers, filters.size());
      const std::vector<Filter> members(filters.begin() + static_cast<ptrdiff_t>(start),
                                        filters.begin() + static_cast<ptrdiff_t>(end));
      PROV_ASSIGN_OR_RETURN(std::vector<ldap::Entry> found,
                            connection_->Search({.base = ContainerDn(kind, base_),
                                                 .scope = ldap::Scope::kOneLevel,
                                                 .filter = Filter::Or(members),
                                                 .attributes = kind.attributes()}));
      // An entry may answer by id in one search and by name in the next.
      for (ldap::Entry& entry : found) {
        if (seen.insert(entry.dn).second) entries.push_back(std::move(entry));
      }
    }
  }
  return entries;
}

absl::Status Session::EachEntry(
    const EntryKind& kind,
    const std::function<absl::Status(const std::string& key, const ldap::Entry& entry)>& each) {
  const std::string key = kind.key;
  return connection_->SearchEach({.base = ContainerDn(kind, base_),
                                  .scope = ldap::Scope::kOneLevel,
                                  .filter = Filter::Equal("objectClass", kind.object_class),
                                  .attributes = {key}},
                                 [&](const ldap::Entry& entry) {
                                   const auto found = entry.attributes.find(key);
                                   return each(found == entry.attributes.end() ? "" : found->second.front(),
                                               entry);
                                 });
}

absl::Status Session::Commit(const std::vector<ldap::Write>& writes, const Cursor& next,
                             ldap::Culprit* culprit) {
  std::vector<ldap::Write> all = writes;
  all.push_back(MoveCursor(base_, cursor_, next));
  PROV_RETURN_IF_ERROR(connection_->ApplyAll(all, culprit));
  cursor_ = next;
  return absl::OkStatus();
}

absl::Status Session::ApplyCursor(const Cursor& next) {
  if (next == cursor_) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(connection_->Apply(MoveCursor(base_, cursor_, next)));
  cursor_ = next;
  return absl::OkStatus();
}

}  // namespace prov::directory
