#include "server/directory/truth.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "common/status.h"
#include "server/directory/entry_kind.h"

namespace prov::directory {
namespace {

using store::AggregateKind;

Item SubscriberItem(const model::Subscriber& subscriber, uint64_t revision, const MappingOptions& options) {
  return {AggregateKind::kSubscriber, std::to_string(subscriber.id), revision,
          SubscriberEntry(subscriber, options)};
}

Item DomainItem(const model::Domain& domain, uint64_t revision, const MappingOptions& options) {
  return {AggregateKind::kDomain, domain.name, revision, DomainEntry(domain, options)};
}

Item MailingListItem(const model::MailingList& list, uint64_t revision, const MappingOptions& options) {
  return {AggregateKind::kMailingList, list.address, revision, MailingListEntry(list, options)};
}

absl::StatusOr<int64_t> ParseId(const std::string& key) {
  int64_t id = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size()) {
    return absl::InternalError("a subscriber's change has key \"" + key + "\"");
  }
  return id;
}

}  // namespace

absl::StatusOr<ChangedItems> ReadChanges(store::ReadSnapshot& snapshot, uint64_t revision, size_t limit) {
  std::vector<store::Change> changes;
  ChangedItems result;
  for (;;) {
    PROV_ASSIGN_OR_RETURN(changes, snapshot.ChangesAfter(revision, limit));
    result.to_revision = std::max(revision, snapshot.head_revision());
    if (changes.size() < limit) break;
    // A full page may end within a revision, which is left to the next page.
    const uint64_t last = changes.back().revision;
    if (changes.front().revision != last) {
      while (changes.back().revision == last) changes.pop_back();
      result.to_revision = last - 1;
      break;
    }
    limit *= 2;
  }
  for (const store::Change& change : changes) {
    if (EntryKindOf(change.kind) != nullptr) result.touched[{change.kind, change.key}] = change.revision;
  }
  return result;
}

absl::StatusOr<std::vector<Item>> ReadItems(store::ReadSnapshot& snapshot, const Touched& touched,
                                            const MappingOptions& options) {
  std::vector<int64_t> ids;
  std::vector<std::string> names, lists;
  for (const auto& [aggregate, revision] : touched) {
    if (aggregate.first == AggregateKind::kDomain) {
      names.push_back(aggregate.second);
    } else if (aggregate.first == AggregateKind::kMailingList) {
      lists.push_back(aggregate.second);
    } else {
      PROV_ASSIGN_OR_RETURN(const int64_t id, ParseId(aggregate.second));
      ids.push_back(id);
    }
  }
  std::vector<Item> items;
  items.reserve(touched.size());
  if (!ids.empty()) {
    PROV_ASSIGN_OR_RETURN(const std::vector<model::Subscriber> subscribers, snapshot.SubscribersById(ids));
    for (const model::Subscriber& one : subscribers) {
      items.push_back(
          SubscriberItem(one, touched.at({AggregateKind::kSubscriber, std::to_string(one.id)}), options));
    }
  }
  if (!names.empty()) {
    PROV_ASSIGN_OR_RETURN(const std::vector<model::Domain> domains, snapshot.DomainsByName(names));
    for (const model::Domain& one : domains) {
      items.push_back(DomainItem(one, touched.at({AggregateKind::kDomain, one.name}), options));
    }
  }
  if (!lists.empty()) {
    PROV_ASSIGN_OR_RETURN(const std::vector<model::MailingList> found, snapshot.MailingListsByAddress(lists));
    for (const model::MailingList& one : found) {
      items.push_back(MailingListItem(one, touched.at({AggregateKind::kMailingList, one.address}), options));
    }
  }
  std::set<std::pair<AggregateKind, std::string>> found;
  for (const Item& item : items) found.insert({item.kind, item.key});
  for (const auto& [aggregate, revision] : touched) {
    if (!found.contains(aggregate))
      items.push_back({aggregate.first, aggregate.second, revision, std::nullopt});
  }
  return items;
}

void KnownKeys::Add(const std::vector<Item>& items) {
  for (const Item& item : items) {
    if (item.kind != AggregateKind::kSubscriber) {
      named_.insert({item.kind, item.key});
    } else if (const absl::StatusOr<int64_t> id = ParseId(item.key); id.ok()) {
      ids_.push_back(*id);
    }
  }
}

bool KnownKeys::Contains(AggregateKind kind, const std::string& key) const {
  if (kind != AggregateKind::kSubscriber) return named_.contains({kind, key});
  const absl::StatusOr<int64_t> id = ParseId(key);
  return id.ok() && std::binary_search(ids_.begin(), ids_.end(), *id);
}

absl::Status ReadEverything(store::ReadSnapshot& snapshot, size_t limit, const MappingOptions& options,
                            const std::function<absl::Status(const std::vector<Item>& items)>& page) {
  std::vector<Item> items;
  for (int64_t after = 0;;) {
    PROV_ASSIGN_OR_RETURN(const std::vector<model::Subscriber> subscribers,
                          snapshot.SubscribersAfter(after, limit));
    if (subscribers.empty()) break;
    after = subscribers.back().id;
    items.clear();
    for (const model::Subscriber& one : subscribers)
      items.push_back(SubscriberItem(one, one.revision, options));
    PROV_RETURN_IF_ERROR(page(items));
  }
  for (std::string after;;) {
    PROV_ASSIGN_OR_RETURN(const std::vector<model::Domain> domains, snapshot.DomainsAfter(after, limit));
    if (domains.empty()) break;
    after = domains.back().name;
    items.clear();
    for (const model::Domain& one : domains) items.push_back(DomainItem(one, one.revision, options));
    PROV_RETURN_IF_ERROR(page(items));
  }
  for (std::string after;;) {
    PROV_ASSIGN_OR_RETURN(const std::vector<model::MailingList> lists,
                          snapshot.MailingListsAfter(after, limit));
    if (lists.empty()) return absl::OkStatus();
    after = lists.back().address;
    items.clear();
    for (const model::MailingList& one : lists) items.push_back(MailingListItem(one, one.revision, options));
    PROV_RETURN_IF_ERROR(page(items));
  }
}

}  // namespace prov::directory
