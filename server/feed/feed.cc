#include "server/feed/feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "server/feed/projection.h"

namespace prov::feed {
namespace {

absl::Status MayNotFollow(const std::string& host, model::Role role) {
  return absl::PermissionDeniedError(
      fmt::format("host \"{}\" may not follow as {}: it must exist, serve or be drained, and be in a pool of "
                  "that role; see provctl list-hosts",
                  host, model::RoleName(role)));
}

}  // namespace

struct Feed::ViewerCache {
  std::mutex mutex;  // held while a round is made
  std::deque<std::shared_ptr<const Round>> rounds;
};

Feed::Feed(store::SnapshotSource& snapshots, FeedLimits limits)
    : snapshots_(snapshots),
      limits_(limits),
      change_sets_(snapshots, limits.changes_per_round, limits.cached_change_sets) {}

Feed::~Feed() = default;

absl::StatusOr<Feed::FleetAtHead> Feed::FleetNow() {
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, snapshots_.OpenSnapshot());
  FleetAtHead result;
  result.head_revision = snapshot->head_revision();
  PROV_ASSIGN_OR_RETURN(result.fleet, ReadFleet(*snapshot));
  return result;
}

absl::StatusOr<std::unique_ptr<FeedStream>> Feed::Open(const std::string& host, model::Role role,
                                                       uint64_t cursor_revision) {
  PROV_ASSIGN_OR_RETURN(const FleetAtHead now, FleetNow());
  const model::Host* found = now.fleet.FindHost(host);
  if (found == nullptr || !MayFollow(*found, role, now.fleet)) return MayNotFollow(host, role);
  return std::unique_ptr<FeedStream>(new FeedStream(*this, *found, role, ViewerOf(*found, role, now.fleet),
                                                    cursor_revision, now.head_revision));
}

std::shared_ptr<Feed::ViewerCache> Feed::CacheOf(const Viewer& viewer) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<ViewerCache>& cache = caches_[viewer];
  if (cache == nullptr) cache = std::make_shared<ViewerCache>();
  return cache;
}

absl::StatusOr<Feed::Delta> Feed::DeltaAfter(const Viewer& viewer, uint64_t from, uint64_t not_before) {
  const std::shared_ptr<ViewerCache> cache = CacheOf(viewer);
  const std::lock_guard lock(cache->mutex);
  for (const auto& round : cache->rounds) {
    if (round->from_revision == from && round->head_revision >= not_before) {
      return Delta{round, {}, round->head_revision};
    }
  }
  PROV_ASSIGN_OR_RETURN(const ChangeSets::Found found, change_sets_.After(from, not_before));
  if (found.set == nullptr) {
    if (!found.snapshot_because.empty()) cache->rounds.clear();
    return Delta{nullptr, found.snapshot_because, found.head_revision};
  }
  auto round = std::make_shared<const Round>(MakeRound(*found.set, viewer, from, limits_));
  cache->rounds.push_back(round);
  if (cache->rounds.size() > limits_.cached_rounds) cache->rounds.pop_front();
  return Delta{std::move(round), {}, found.head_revision};
}

FeedStream::FeedStream(Feed& feed, model::Host host, model::Role role, Viewer viewer, uint64_t cursor,
                       uint64_t head)
    : feed_(feed),
      host_(std::move(host)),
      role_(role),
      viewer_(std::move(viewer)),
      position_(cursor),
      head_revision_(head),
      filler_(feed.limits_.records_per_batch, feed.limits_.octets_per_batch) {
  if (cursor == 0) {
    StartOver("first");
  } else if (!viewer_.pool.empty() && host_.revision > cursor) {
    // The host may have been given another pool, and thus another view, since it was last here.
    StartOver("host_changed");
  }
}

absl::StatusOr<FeedStream::Step> FeedStream::Next() {
  return phase_ == Phase::kDelta ? NextOfDelta() : NextOfSnapshot();
}

absl::Status FeedStream::TakeHost(const Fleet& fleet) {
  const model::Host* host = fleet.FindHost(host_.id);
  if (host == nullptr || !MayFollow(*host, role_, fleet)) return MayNotFollow(host_.id, role_);
  host_ = *host;
  return absl::OkStatus();
}

void FeedStream::StartOver(std::string_view because) {
  const Level level = because == "beyond_head" ? Level::kError : Level::kInfo;
  Log(level, "feed_snapshot",
      {{"host", host_.id},
       {"role", model::RoleName(role_)},
       {"because", because},
       {"cursor", position_},
       {"head", head_revision_}});
  phase_ = Phase::kBegin;
  round_.reset();
}

FeedStream::Step FeedStream::Send(v1::Batch batch) {
  batch.set_nonce(++nonce_);
  batch.set_head_revision(head_revision_);
  if (batch.to_revision() != 0) position_ = batch.to_revision();
  Step step{.message = v1::SyncResponse(), .more = true};
  *step.message->mutable_batch() = std::move(batch);
  return step;
}

absl::StatusOr<FeedStream::Step> FeedStream::NextOfDelta() {
  if (round_ == nullptr) {
    PROV_ASSIGN_OR_RETURN(Feed::Delta delta, feed_.DeltaAfter(viewer_, position_, head_revision_));
    head_revision_ = std::max(head_revision_, delta.head_revision);
    if (!delta.snapshot_because.empty()) {
      head_revision_ = delta.head_revision;
      StartOver(delta.snapshot_because);
      return Step{.more = true};
    }
    if (delta.round == nullptr) return Step{};
    if (delta.round->fleet != nullptr) {
      const Fleet& fleet = *delta.round->fleet;
      PROV_RETURN_IF_ERROR(TakeHost(fleet));
      if (ViewerOf(host_, role_, fleet) != viewer_) {
        StartOver("pool_changed");
        return Step{.more = true};
      }
    }
    round_ = std::move(delta.round);
    next_batch_ = 0;
  }
  Step step = Send(round_->batches[next_batch_++]);
  if (next_batch_ == round_->batches.size()) {
    step.more = position_ < head_revision_;
    round_.reset();
  }
  return step;
}

absl::StatusOr<FeedStream::Step> FeedStream::NextOfSnapshot() {
  if (phase_ == Phase::kBegin) return BeginSnapshot();
  if (filler_.HasFull()) return Send(filler_.Take());
  if (phase_ != Phase::kEnd) {
    PROV_RETURN_IF_ERROR(ReadPage());
    return Step{.more = true};
  }
  if (!filler_.empty()) return Send(filler_.Take());
  return EndSnapshot();
}

absl::StatusOr<FeedStream::Step> FeedStream::BeginSnapshot() {
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, feed_.snapshots_.OpenSnapshot());
  PROV_ASSIGN_OR_RETURN(const Fleet fleet, ReadFleet(*snapshot));
  PROV_RETURN_IF_ERROR(TakeHost(fleet));
  PROV_ASSIGN_OR_RETURN(const uint64_t estimate, snapshot->EstimatedSubscribers());
  viewer_ = ViewerOf(host_, role_, fleet);
  snapshot_revision_ = head_revision_ = snapshot->head_revision();
  last_domain_.clear();
  last_mailing_list_.clear();
  last_member_list_.clear();
  last_member_.clear();
  last_subscriber_ = 0;
  last_mailbox_move_ = 0;
  next_subscribers_ = {};
  filler_ = BatchFiller(feed_.limits_.records_per_batch, feed_.limits_.octets_per_batch);
  for (const model::Pool& pool : fleet.pools) {
    std::optional<v1::Record> record = ProjectPool(viewer_, pool, fleet.hosts);
    if (record.has_value()) filler_.Add(*std::move(record));
  }
  phase_ = SeenFrom(Phase::kDomains);

  Step step{.message = v1::SyncResponse(), .more = true};
  v1::SnapshotBegin* begin = step.message->mutable_snapshot_begin();
  begin->set_revision(snapshot_revision_);
  begin->set_estimated_records(SeesSubscribers(role_) ? estimate : 0);
  return step;
}

FeedStream::Phase FeedStream::SeenFrom(Phase phase) const {
  if (phase <= Phase::kDomains && SeesDomains(role_)) return Phase::kDomains;
  if (phase <= Phase::kMailingLists && SeesMailingLists(role_)) return Phase::kMailingLists;
  if (phase <= Phase::kMembers && SeesMembers(role_)) return Phase::kMembers;
  if (phase <= Phase::kSubscribers && SeesSubscribers(role_)) return Phase::kSubscribers;
  if (phase <= Phase::kMailboxMoves && SeesMailboxMoves(role_)) return Phase::kMailboxMoves;
  return Phase::kEnd;
}

absl::Status FeedStream::ReadPage() {
  if (phase_ == Phase::kSubscribers) {
    PROV_ASSIGN_OR_RETURN(const bool last, ReadSubscriberPage());
    if (last) phase_ = SeenFrom(Phase::kMailboxMoves);
    return absl::OkStatus();
  }
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, feed_.snapshots_.OpenSnapshot());
  absl::StatusOr<bool> last = absl::InternalError("no page is to be read");
  Phase next = Phase::kEnd;
  if (phase_ == Phase::kDomains) {
    last = ReadDomainPage(*snapshot);
    next = Phase::kMailingLists;
  } else if (phase_ == Phase::kMailingLists) {
    last = ReadMailingListPage(*snapshot);
    next = Phase::kMembers;
  } else if (phase_ == Phase::kMembers) {
    last = ReadMemberPage(*snapshot);
    next = Phase::kSubscribers;
  } else if (phase_ == Phase::kMailboxMoves) {
    last = ReadMailboxMovePage(*snapshot);
  }
  PROV_RETURN_IF_ERROR(last.status());
  head_revision_ = std::max(head_revision_, snapshot->head_revision());
  if (*last) phase_ = SeenFrom(next);
  return absl::OkStatus();
}

absl::StatusOr<bool> FeedStream::ReadDomainPage(store::ReadSnapshot& snapshot) {
  const size_t limit = feed_.limits_.rows_per_page;
  PROV_ASSIGN_OR_RETURN(const std::vector<model::Domain> page, snapshot.DomainsAfter(last_domain_, limit));
  for (const model::Domain& domain : page) {
    std::optional<v1::Record> record = ProjectDomain(viewer_, domain);
    if (record.has_value()) filler_.Add(*std::move(record));
  }
  if (!page.empty()) last_domain_ = page.back().name;
  return page.size() < limit;
}

absl::StatusOr<bool> FeedStream::ReadMailingListPage(store::ReadSnapshot& snapshot) {
  const size_t limit = feed_.limits_.rows_per_page;
  PROV_ASSIGN_OR_RETURN(const std::vector<model::MailingList> page,
                        snapshot.MailingListsAfter(last_mailing_list_, limit));
  for (const model::MailingList& list : page) {
    std::optional<v1::Record> record = ProjectMailingList(viewer_, list);
    if (record.has_value()) filler_.Add(*std::move(record));
  }
  if (!page.empty()) last_mailing_list_ = page.back().address;
  return page.size() < limit;
}

absl::StatusOr<bool> FeedStream::ReadMemberPage(store::ReadSnapshot& snapshot) {
  const size_t limit = feed_.limits_.rows_per_page;
  PROV_ASSIGN_OR_RETURN(const std::vector<model::Member> page,
                        snapshot.MembersAfter(viewer_.pool, last_member_list_, last_member_, limit));
  for (const model::Member& member : page) {
    std::optional<v1::Record> record = ProjectMember(viewer_, member);
    if (record.has_value()) filler_.Add(*std::move(record));
  }
  if (!page.empty()) {
    last_member_list_ = page.back().list;
    last_member_ = page.back().address;
  }
  return page.size() < limit;
}

absl::StatusOr<bool> FeedStream::ReadSubscriberPage() {
  const size_t limit = feed_.limits_.rows_per_page;
  const auto read = [&snapshots = feed_.snapshots_, limit](int64_t after) -> absl::StatusOr<SubscriberPage> {
    PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, snapshots.OpenSnapshot());
    SubscriberPage page{.head_revision = snapshot->head_revision()};
    PROV_ASSIGN_OR_RETURN(page.subscribers, snapshot->SubscribersAfter(after, limit));
    return page;
  };
  PROV_ASSIGN_OR_RETURN(const SubscriberPage page,
                        next_subscribers_.valid() ? next_subscribers_.get() : read(last_subscriber_));
  const bool last = page.subscribers.size() < limit;
  if (!page.subscribers.empty()) last_subscriber_ = page.subscribers.back().id;
  if (!last) next_subscribers_ = std::async(std::launch::async, read, last_subscriber_);
  for (const model::Subscriber& subscriber : page.subscribers) {
    std::optional<v1::Record> record = ProjectSubscriber(viewer_, subscriber);
    if (record.has_value()) filler_.Add(*std::move(record));
  }
  head_revision_ = std::max(head_revision_, page.head_revision);
  return last;
}

absl::StatusOr<bool> FeedStream::ReadMailboxMovePage(store::ReadSnapshot& snapshot) {
  const size_t limit = feed_.limits_.rows_per_page;
  PROV_ASSIGN_OR_RETURN(const std::vector<model::MailboxMove> page,
                        snapshot.OpenMailboxMovesAfter(last_mailbox_move_, limit));
  for (const model::MailboxMove& move : page) {
    std::optional<v1::Record> record = ProjectMailboxMove(viewer_, move);
    if (record.has_value()) filler_.Add(*std::move(record));
  }
  if (!page.empty()) last_mailbox_move_ = page.back().id;
  return page.size() < limit;
}

FeedStream::Step FeedStream::EndSnapshot() {
  phase_ = Phase::kDelta;
  position_ = snapshot_revision_;
  Step step{.message = v1::SyncResponse(), .more = true};
  v1::SnapshotEnd* end = step.message->mutable_snapshot_end();
  end->set_nonce(++nonce_);
  end->set_revision(snapshot_revision_);
  return step;
}

}  // namespace prov::feed
