#include "server/directory/verifier.h"

#include <algorithm>

#include "common/status.h"
#include "server/directory/follower.h"
#include "server/directory/session.h"
#include "server/directory/truth.h"

namespace prov::directory {
namespace {

using Kind = DirectoryDifference::Kind;

DirectoryDifference DifferenceOf(const ldap::Write& write) {
  if (const auto* add = std::get_if<ldap::Add>(&write)) return {Kind::kMissing, add->entry.dn, {}};
  if (const auto* gone = std::get_if<ldap::Delete>(&write)) return {Kind::kExtra, gone->dn, {}};
  const auto& modify = std::get<ldap::Modify>(write);
  DirectoryDifference difference{Kind::kDifferent, modify.dn, {}};
  for (const ldap::Modification& one : modify.modifications) difference.attributes.push_back(one.attribute);
  return difference;
}

absl::Status Compare(Session& session, const std::vector<Item>& items, Verification& result) {
  PROV_ASSIGN_OR_RETURN(const std::vector<ldap::Entry> current, session.FindCurrent(items));
  for (const PlannedWrite& planned : Plan(items, current)) {
    ++result.differing;
    if (result.differences.size() < kMostDifferencesShown) {
      result.differences.push_back(DifferenceOf(planned.write));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Verification> VerifyDirectory(store::SnapshotSource& source,
                                             const Publisher::Options& options) {
  const MappingOptions mapping{
      .base = options.base, .services = options.services, .home_prefix = options.home_prefix};
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                        Session::Open({.connect = {.uri = options.uri,
                                                   .ca = options.ca,
                                                   .starttls = options.starttls,
                                                   .connect_timeout = options.connect_timeout,
                                                   .operation_timeout = options.operation_timeout},
                                       .bind_dn = options.bind_dn,
                                       .password = options.password,
                                       .base = options.base,
                                       .use_transactions = false}));
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, source.OpenSnapshot());
  Verification result;
  KnownKeys known;
  PROV_RETURN_IF_ERROR(
      ReadEverything(*snapshot, options.batch_entries, mapping, [&](const std::vector<Item>& items) {
        known.Add(items);
        for (const Item& item : items) result.entries_compared += item.wanted.has_value() ? 1 : 0;
        return Compare(*session, items, result);
      }));
  size_t entries = 0;
  PROV_ASSIGN_OR_RETURN(const std::vector<Item> extra, FindExtra(*session, known, &entries));
  for (size_t start = 0; start < extra.size(); start += options.batch_entries) {
    const auto begin = extra.begin() + static_cast<ptrdiff_t>(start);
    const auto end =
        extra.begin() + static_cast<ptrdiff_t>(std::min(start + options.batch_entries, extra.size()));
    PROV_RETURN_IF_ERROR(Compare(*session, std::vector<Item>(begin, end), result));
  }
  return result;
}

}  // namespace prov::directory
