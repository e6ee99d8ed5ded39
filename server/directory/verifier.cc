#include "server/directory/verifier.h"

#include <algorithm>

#include "common/status.h"
#include "server/directory/follower.h"
#include "server/directory/session.h"
#include "server/directory/truth.h"

namespace prov::directory {
namespace {

using Kind = DirectoryDifference::Kind;

// Of comparing suspects: a record that was changed and published between reading truth and directory seems to
// differ.
constexpr int kRounds = 3;

DirectoryDifference DifferenceOf(const ldap::Write& write) {
  if (const auto* add = std::get_if<ldap::Add>(&write)) return {Kind::kMissing, add->entry.dn, {}};
  if (const auto* gone = std::get_if<ldap::Delete>(&write)) return {Kind::kExtra, gone->dn, {}};
  const auto& modify = std::get<ldap::Modify>(write);
  DirectoryDifference difference{Kind::kDifferent, modify.dn, {}};
  for (const ldap::Modification& one : modify.modifications) difference.attributes.push_back(one.attribute);
  return difference;
}

class Verifier {
 public:
  Verifier(store::SnapshotSource& source, const Publisher::Options& options, const VerifyHooks& hooks,
           Session& session)
      : source_(source),
        mapping_{.base = options.base, .services = options.services, .home_prefix = options.home_prefix},
        batch_(options.batch_entries),
        hooks_(hooks),
        session_(session) {}

  absl::StatusOr<Verification> Run() {
    PROV_RETURN_IF_ERROR(CompareAll());
    for (int round = 1; round <= kRounds && !suspects_.empty(); ++round) {
      PROV_RETURN_IF_ERROR(CompareSuspects(round == kRounds));
    }
    PROV_RETURN_IF_ERROR(Tell({}));
    return result_;
  }

 private:
  absl::Status Tell(const std::vector<DirectoryDifference>& found) {
    result_.differing += found.size();
    return hooks_.progress ? hooks_.progress(result_, found) : absl::OkStatus();
  }

  absl::StatusOr<std::vector<PlannedWrite>> PlanFor(const std::vector<Item>& items) {
    PROV_ASSIGN_OR_RETURN(const std::vector<ldap::Entry> current, session_.FindCurrent(items));
    return Plan(items, current);
  }

  absl::Status CompareAll() {
    PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, source_.OpenSnapshot());
    KnownKeys known;
    PROV_RETURN_IF_ERROR(ReadEverything(*snapshot, batch_, mapping_, [&](const std::vector<Item>& items) {
      known.Add(items);
      for (const Item& item : items) result_.entries_compared += item.wanted.has_value() ? 1 : 0;
      PROV_ASSIGN_OR_RETURN(const std::vector<PlannedWrite> plan, PlanFor(items));
      for (const PlannedWrite& write : plan) Suspect(items[write.item]);
      return Tell({});
    }));
    size_t entries = 0;
    PROV_ASSIGN_OR_RETURN(const std::vector<Item> extra, FindExtra(session_, known, &entries));
    for (const Item& item : extra) Suspect(item);
    return absl::OkStatus();
  }

  void Suspect(const Item& item) { suspects_[{item.kind, item.key}] = item.revision; }

  absl::Status CompareSuspects(bool last) {
    PROV_ASSIGN_OR_RETURN(std::unique_ptr<store::ReadSnapshot> snapshot, source_.OpenSnapshot());
    const uint64_t head = snapshot->head_revision();
    PROV_ASSIGN_OR_RETURN(const std::vector<Item> items, ReadItems(*snapshot, suspects_, mapping_));
    snapshot.reset();
    if (hooks_.settle) PROV_RETURN_IF_ERROR(hooks_.settle(head));
    suspects_.clear();
    for (size_t from = 0; from < items.size(); from += batch_) {
      const auto begin = items.begin() + static_cast<ptrdiff_t>(from);
      const auto end = items.begin() + static_cast<ptrdiff_t>(std::min(from + batch_, items.size()));
      const std::vector<Item> part(begin, end);
      PROV_ASSIGN_OR_RETURN(const std::vector<PlannedWrite> plan, PlanFor(part));
      std::vector<DirectoryDifference> found;
      for (const PlannedWrite& write : plan) {
        Suspect(part[write.item]);
        found.push_back(DifferenceOf(write.write));
      }
      if (last && !found.empty()) PROV_RETURN_IF_ERROR(Tell(found));
    }
    return absl::OkStatus();
  }

  store::SnapshotSource& source_;
  const MappingOptions mapping_;
  const size_t batch_;
  const VerifyHooks& hooks_;
  Session& session_;
  Verification result_;
  Touched suspects_;
};

absl::StatusOr<std::unique_ptr<Session>> OpenSession(const Publisher::Options& options) {
  return Session::Open({.connect = {.uri = options.uri,
                                    .ca = options.ca,
                                    .starttls = options.starttls,
                                    .connect_timeout = options.connect_timeout,
                                    .operation_timeout = options.operation_timeout},
                        .bind_dn = options.bind_dn,
                        .password = options.password,
                        .base = options.base,
                        .use_transactions = false});
}

}  // namespace

absl::StatusOr<Verification> VerifyDirectory(store::SnapshotSource& source, const Publisher::Options& options,
                                             const VerifyHooks& hooks) {
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenSession(options));
  return Verifier(source, options, hooks, *session).Run();
}

absl::StatusOr<std::vector<DirectoryDifference>> CompareSubscriber(store::SnapshotSource& source,
                                                                   const Publisher::Options& options,
                                                                   int64_t id) {
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenSession(options));
  std::vector<Item> items;
  {
    PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, source.OpenSnapshot());
    const Touched touched = {{{store::AggregateKind::kSubscriber, std::to_string(id)}, 0}};
    PROV_ASSIGN_OR_RETURN(
        items,
        ReadItems(*snapshot, touched,
                  {.base = options.base, .services = options.services, .home_prefix = options.home_prefix}));
  }
  PROV_ASSIGN_OR_RETURN(const std::vector<ldap::Entry> current, session->FindCurrent(items));
  std::vector<DirectoryDifference> differences;
  for (const PlannedWrite& write : Plan(items, current)) differences.push_back(DifferenceOf(write.write));
  return differences;
}

}  // namespace prov::directory
