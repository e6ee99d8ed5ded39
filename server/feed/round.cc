#include "server/feed/round.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "server/feed/batch_filler.h"
#include "server/feed/change_page.h"

namespace prov::feed {
namespace {

using store::AggregateKind;

// The last change of each aggregate.
struct Changed {
  std::map<int64_t, uint64_t> subscribers;
  std::map<std::string, uint64_t> domains;
  std::map<std::string, uint64_t> pools;
  uint64_t fleet = 0;  // of any pool or host; 0: none
};

// One thing to send, in its place.
struct Item {
  uint64_t revision = 0;
  std::string key;
  std::optional<v1::Record> record;  // none: removed
};

std::optional<int64_t> ParseId(const std::string& key) {
  int64_t id = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size()) return std::nullopt;
  return id;
}

Changed Coalesce(const std::vector<store::Change>& changes) {
  Changed changed;
  for (const store::Change& change : changes) {
    switch (change.kind) {
      case AggregateKind::kSubscriber: {
        const std::optional<int64_t> id = ParseId(change.key);
        if (id.has_value()) {
          changed.subscribers[*id] = change.revision;
        } else {
          Log(Level::kError, "feed_change_unreadable", {{"revision", change.revision}, {"key", change.key}});
        }
        break;
      }
      case AggregateKind::kDomain:
        changed.domains[change.key] = change.revision;
        break;
      case AggregateKind::kPool:
        changed.pools[change.key] = change.revision;
        changed.fleet = change.revision;
        break;
      case AggregateKind::kHost:
        changed.fleet = change.revision;
        break;
      case AggregateKind::kMailingList:  // no view has lists yet
        break;
    }
  }
  return changed;
}

absl::Status AddSubscribers(store::ReadSnapshot& snapshot, const Viewer& viewer, const Changed& changed,
                            std::vector<Item>* items) {
  if (changed.subscribers.empty() || !SeesSubscribers(viewer.role)) return absl::OkStatus();
  std::vector<int64_t> ids;
  for (const auto& [id, revision] : changed.subscribers) ids.push_back(id);
  PROV_ASSIGN_OR_RETURN(const std::vector<model::Subscriber> found, snapshot.SubscribersById(ids));
  std::unordered_map<int64_t, v1::Record> records;
  for (const model::Subscriber& subscriber : found) {
    std::optional<v1::Record> record = ProjectSubscriber(viewer, subscriber);
    if (record.has_value()) records.emplace(subscriber.id, *std::move(record));
  }
  for (const auto& [id, revision] : changed.subscribers) {
    Item item{revision, SubscriberKey(id), std::nullopt};
    if (const auto record = records.find(id); record != records.end())
      item.record = std::move(record->second);
    items->push_back(std::move(item));
  }
  return absl::OkStatus();
}

absl::Status AddDomains(store::ReadSnapshot& snapshot, const Viewer& viewer, const Changed& changed,
                        std::vector<Item>* items) {
  if (changed.domains.empty() || !SeesDomains(viewer.role)) return absl::OkStatus();
  std::vector<std::string> names;
  for (const auto& [name, revision] : changed.domains) names.push_back(name);
  PROV_ASSIGN_OR_RETURN(const std::vector<model::Domain> found, snapshot.DomainsByName(names));
  std::map<std::string, v1::Record> records;
  for (const model::Domain& domain : found) {
    std::optional<v1::Record> record = ProjectDomain(viewer, domain);
    if (record.has_value()) records.emplace(domain.name, *std::move(record));
  }
  for (const auto& [name, revision] : changed.domains) {
    Item item{revision, DomainKey(name), std::nullopt};
    if (const auto record = records.find(name); record != records.end()) {
      item.record = std::move(record->second);
    }
    items->push_back(std::move(item));
  }
  return absl::OkStatus();
}

// A host's change does not tell which pools it was in before, so all pools of the view are sent: few.
void AddPools(const Viewer& viewer, const Changed& changed, const Fleet& fleet, std::vector<Item>* items) {
  if (!SeesPoolsOf(viewer.role).has_value()) return;
  for (const model::Pool& pool : fleet.pools) {
    std::optional<v1::Record> record = ProjectPool(viewer, pool, fleet.hosts);
    if (!record.has_value()) continue;
    // A member that left took its revision with it; the record must not seem to grow older.
    record->set_revision(std::max(record->revision(), changed.fleet));
    items->push_back({changed.fleet, PoolKey(pool.id), std::move(record)});
  }
  for (const auto& [id, revision] : changed.pools) {
    const model::Pool* pool = fleet.FindPool(id);
    if (pool == nullptr || pool->role != SeesPoolsOf(viewer.role)) {
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

absl::StatusOr<Fleet> ReadFleet(store::ReadSnapshot& snapshot) {
  Fleet fleet;
  PROV_ASSIGN_OR_RETURN(fleet.pools, snapshot.Pools());
  PROV_ASSIGN_OR_RETURN(fleet.hosts, snapshot.Hosts());
  return fleet;
}

absl::StatusOr<Round> MakeRound(store::ReadSnapshot& snapshot, const Viewer& viewer, uint64_t from,
                                const FeedLimits& limits) {
  PROV_ASSIGN_OR_RETURN(const ChangePage page, ReadChangePage(snapshot, from, limits.changes_per_round));
  const Changed changed = Coalesce(page.changes);
  Round round;
  round.from_revision = from;
  round.to_revision = page.to_revision;
  round.head_revision = snapshot.head_revision();

  std::vector<Item> items;
  PROV_RETURN_IF_ERROR(AddSubscribers(snapshot, viewer, changed, &items));
  PROV_RETURN_IF_ERROR(AddDomains(snapshot, viewer, changed, &items));
  if (changed.fleet != 0) {
    PROV_ASSIGN_OR_RETURN(Fleet fleet, ReadFleet(snapshot));
    AddPools(viewer, changed, fleet, &items);
    round.fleet = std::make_shared<const Fleet>(std::move(fleet));
  }
  round.batches = IntoBatches(std::move(items), limits);
  round.batches.back().set_to_revision(round.to_revision);
  return round;
}

}  // namespace prov::feed
