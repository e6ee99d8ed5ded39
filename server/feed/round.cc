#include "server/feed/round.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "server/feed/batch_filler.h"
#include "server/feed/projection.h"

namespace prov::feed {
namespace {

// One thing to send, in its place.
struct Item {
  uint64_t revision = 0;
  std::string key;
  std::optional<v1::Record> record;  // none: removed
};

// What changed after `from`, with its record if it has one in the view.
template <typename Key, typename KeyName>
void AddChanged(const std::map<Key, uint64_t>& changes, uint64_t from, std::map<Key, v1::Record> records,
                KeyName name, std::vector<Item>* items) {
  for (const auto& [key, revision] : changes) {
    if (revision <= from) continue;
    Item item{revision, name(key), std::nullopt};
    if (const auto record = records.find(key); record != records.end())
      item.record = std::move(record->second);
    items->push_back(std::move(item));
  }
}

void AddSubscribers(const ChangeSet& set, const Viewer& viewer, uint64_t from, std::vector<Item>* items) {
  if (!SeesSubscribers(viewer.role)) return;
  std::map<int64_t, v1::Record> records;
  for (const model::Subscriber& subscriber : set.subscribers) {
    std::optional<v1::Record> record = ProjectSubscriber(viewer, subscriber);
    if (record.has_value()) records.emplace(subscriber.id, *std::move(record));
  }
  AddChanged(set.subscriber_changes, from, std::move(records), SubscriberKey, items);
}

void AddDomains(const ChangeSet& set, const Viewer& viewer, uint64_t from, std::vector<Item>* items) {
  if (!SeesDomains(viewer.role)) return;
  std::map<std::string, v1::Record> records;
  for (const model::Domain& domain : set.domains) {
    std::optional<v1::Record> record = ProjectDomain(viewer, domain);
    if (record.has_value()) records.emplace(domain.name, *std::move(record));
  }
  AddChanged(set.domain_changes, from, std::move(records), DomainKey, items);
}

void AddMailingLists(const ChangeSet& set, const Viewer& viewer, uint64_t from, std::vector<Item>* items) {
  if (!SeesMailingLists(viewer.role)) return;
  std::map<std::string, v1::Record> records;
  for (const model::MailingList& list : set.mailing_lists) {
    std::optional<v1::Record> record = ProjectMailingList(viewer, list);
    if (record.has_value()) records.emplace(list.address, *std::move(record));
  }
  AddChanged(set.mailing_list_changes, from, std::move(records), MailingListKey, items);
}

void AddMembers(const ChangeSet& set, const Viewer& viewer, uint64_t from, std::vector<Item>* items) {
  if (!SeesMembers(viewer.role)) return;
  std::map<std::string, v1::Record> records;
  for (const model::Member& member : set.members) {
    std::optional<v1::Record> record = ProjectMember(viewer, member);
    if (record.has_value())
      records.emplace(model::MemberKey(member.list, member.address), *std::move(record));
  }
  AddChanged(set.member_changes, from, std::move(records), MailingListKey, items);
}

void AddMailboxMoves(const ChangeSet& set, const Viewer& viewer, uint64_t from, std::vector<Item>* items) {
  if (!SeesMailboxMoves(viewer.role)) return;
  std::map<int64_t, v1::Record> records;
  for (const model::MailboxMove& move : set.mailbox_moves) {
    std::optional<v1::Record> record = ProjectMailboxMove(viewer, move);
    if (record.has_value()) records.emplace(move.id, *std::move(record));
  }
  AddChanged(set.mailbox_move_changes, from, std::move(records), MailboxMoveKey, items);
}

// A host's change does not tell which pools it was in before, so all pools of the view are sent: few.
void AddPools(const ChangeSet& set, const Viewer& viewer, uint64_t from, std::vector<Item>* items) {
  if (set.fleet_change <= from || !SeesPools(viewer.role)) return;
  for (const model::Pool& pool : set.fleet->pools) {
    std::optional<v1::Record> record = ProjectPool(viewer, pool, set.fleet->hosts);
    if (!record.has_value()) continue;
    // A member that left took its revision with it; the record must not seem to grow older.
    record->set_revision(std::max(record->revision(), set.fleet_change));
    items->push_back({set.fleet_change, PoolKey(pool.id), std::move(record)});
  }
  for (const auto& [id, revision] : set.pool_changes) {
    const model::Pool* pool = set.fleet->FindPool(id);
    if (pool == nullptr || !SeesPool(viewer.role, pool->role)) {
      items->push_back({revision, PoolKey(id), std::nullopt});
    }
  }
}

std::vector<v1::Batch> IntoBatches(std::vector<Item> items, const FeedLimits& limits) {
  std::stable_sort(items.begin(), items.end(),
                   [](const Item& a, const Item& b) { return a.revision < b.revision; });
  BatchFiller filler(limits.records_per_batch, limits.octets_per_batch);
  for (Item& item : items) {
    if (item.record.has_value()) {
      filler.Add(*std::move(item.record));
    } else {
      filler.AddRemoved(std::move(item.key));
    }
  }
  std::vector<v1::Batch> batches;
  do {
    batches.push_back(filler.Take());
  } while (!filler.empty());
  return batches;
}

}  // namespace

Round MakeRound(const ChangeSet& set, const Viewer& viewer, uint64_t from, const FeedLimits& limits) {
  Round round;
  round.from_revision = from;
  round.to_revision = set.to_revision;
  round.head_revision = set.head_revision;
  std::vector<Item> items;
  AddSubscribers(set, viewer, from, &items);
  AddDomains(set, viewer, from, &items);
  AddMailingLists(set, viewer, from, &items);
  AddMembers(set, viewer, from, &items);
  AddMailboxMoves(set, viewer, from, &items);
  AddPools(set, viewer, from, &items);
  if (set.fleet_change > from) round.fleet = set.fleet;
  round.batches = IntoBatches(std::move(items), limits);
  round.batches.back().set_to_revision(round.to_revision);
  return round;
}

}  // namespace prov::feed
