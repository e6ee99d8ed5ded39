#include "server/feed/change_set.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "server/feed/change_page.h"

namespace prov::feed {
namespace {

using store::AggregateKind;

std::optional<int64_t> ParseId(const std::string& key) {
  int64_t id = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size()) return std::nullopt;
  return id;
}

void NoteId(const store::Change& change, std::map<int64_t, uint64_t>& changes) {
  if (const std::optional<int64_t> id = ParseId(change.key)) {
    changes[*id] = change.revision;
  } else {
    Log(Level::kError, "feed_change_unreadable", {{"revision", change.revision}, {"key", change.key}});
  }
}

void Note(const store::Change& change, ChangeSet& set) {
  switch (change.kind) {
    case AggregateKind::kSubscriber:
      return NoteId(change, set.subscriber_changes);
    case AggregateKind::kMailboxMove:
      return NoteId(change, set.mailbox_move_changes);
    case AggregateKind::kDomain:
      set.domain_changes[change.key] = change.revision;
      break;
    case AggregateKind::kPool:
      set.pool_changes[change.key] = change.revision;
      set.fleet_change = change.revision;
      break;
    case AggregateKind::kHost:
      set.fleet_change = change.revision;
      break;
    case AggregateKind::kMailingList:
      set.mailing_list_changes[change.key] = change.revision;
      break;
    case AggregateKind::kMember:
      set.member_changes[change.key] = change.revision;
      break;
  }
}

template <typename Key>
std::vector<Key> KeysOf(const std::map<Key, uint64_t>& changes) {
  std::vector<Key> keys;
  for (const auto& [key, revision] : changes) keys.push_back(key);
  return keys;
}

}  // namespace

absl::StatusOr<Fleet> ReadFleet(store::ReadSnapshot& snapshot) {
  Fleet fleet;
  PROV_ASSIGN_OR_RETURN(fleet.pools, snapshot.Pools());
  PROV_ASSIGN_OR_RETURN(fleet.hosts, snapshot.Hosts());
  return fleet;
}

absl::StatusOr<ChangeSet> ReadChangeSet(store::ReadSnapshot& snapshot, uint64_t after, size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ChangePage page, ReadChangePage(snapshot, after, limit));
  ChangeSet set;
  set.after_revision = after;
  set.to_revision = page.to_revision;
  set.head_revision = snapshot.head_revision();
  for (const store::Change& change : page.changes) Note(change, set);
  if (!set.subscriber_changes.empty()) {
    PROV_ASSIGN_OR_RETURN(set.subscribers, snapshot.SubscribersById(KeysOf(set.subscriber_changes)));
  }
  if (!set.domain_changes.empty()) {
    PROV_ASSIGN_OR_RETURN(set.domains, snapshot.DomainsByName(KeysOf(set.domain_changes)));
  }
  if (!set.mailing_list_changes.empty()) {
    PROV_ASSIGN_OR_RETURN(set.mailing_lists,
                          snapshot.MailingListsByAddress(KeysOf(set.mailing_list_changes)));
  }
  if (!set.member_changes.empty()) {
    PROV_ASSIGN_OR_RETURN(set.members, snapshot.MembersByKey(KeysOf(set.member_changes)));
  }
  if (!set.mailbox_move_changes.empty()) {
    PROV_ASSIGN_OR_RETURN(set.mailbox_moves, snapshot.MailboxMovesById(KeysOf(set.mailbox_move_changes)));
  }
  if (set.fleet_change != 0) {
    PROV_ASSIGN_OR_RETURN(Fleet fleet, ReadFleet(snapshot));
    set.fleet = std::make_shared<const Fleet>(std::move(fleet));
  }
  return set;
}

absl::StatusOr<ChangeSets::Found> ChangeSets::After(uint64_t from, uint64_t not_before) {
  std::shared_ptr<Slot> fresh;
  std::unique_lock<std::mutex> reading;
  if (const auto kept = Kept(from, not_before, fresh, reading)) return Found{kept, {}, kept->head_revision};
  absl::StatusOr<Found> found = Read(from);
  if (found.ok() && found->set != nullptr) {
    fresh->set = found->set;
  } else {
    Forget(fresh);
  }
  return found;
}

// A set that serves, or else a slot to read one into, held.
std::shared_ptr<const ChangeSet> ChangeSets::Kept(uint64_t from, uint64_t not_before,
                                                  std::shared_ptr<Slot>& fresh,
                                                  std::unique_lock<std::mutex>& reading) {
  std::set<std::shared_ptr<Slot>> tried;
  for (;;) {
    std::shared_ptr<Slot> slot;
    {
      const std::lock_guard lock(mutex_);
      const auto found =
          std::find_if(slots_.begin(), slots_.end(), [&](const std::shared_ptr<Slot>& candidate) {
            return candidate->after_revision <= from && from - candidate->after_revision < changes_per_set_ &&
                   !tried.contains(candidate);
          });
      if (found == slots_.end()) {
        fresh = std::make_shared<Slot>();
        fresh->after_revision = from;
        reading = std::unique_lock(fresh->mutex);
        slots_.push_front(fresh);
        if (slots_.size() > kept_) slots_.pop_back();
        return nullptr;
      }
      slot = *found;
    }
    tried.insert(slot);
    const std::lock_guard lock(slot->mutex);
    if (slot->set != nullptr && from < slot->set->to_revision && slot->set->head_revision >= not_before) {
      return slot->set;
    }
  }
}

absl::StatusOr<ChangeSets::Found> ChangeSets::Read(uint64_t from) {
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, snapshots_.OpenSnapshot());
  const uint64_t head = snapshot->head_revision();
  if (from > head) {
    const std::lock_guard lock(mutex_);
    slots_.clear();  // of another database
    return Found{nullptr, "beyond_head", head};
  }
  if (from < snapshot->compacted_revision()) return Found{nullptr, "compacted", head};
  if (from == head) return Found{nullptr, {}, head};
  PROV_ASSIGN_OR_RETURN(ChangeSet set, ReadChangeSet(*snapshot, from, changes_per_set_));
  return Found{std::make_shared<const ChangeSet>(std::move(set)), {}, head};
}

void ChangeSets::Forget(const std::shared_ptr<Slot>& slot) {
  const std::lock_guard lock(mutex_);
  std::erase(slots_, slot);
}

}  // namespace prov::feed
