#include "server/directory/follower.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/log.h"
#include "common/status.h"

namespace prov::directory {
namespace {

std::vector<std::vector<Item>> Split(std::vector<Item> items, size_t size) {
  std::vector<std::vector<Item>> parts;
  for (Item& item : items) {
    if (parts.empty() || parts.back().size() == size) parts.emplace_back();
    parts.back().push_back(std::move(item));
  }
  return parts;
}

}  // namespace

absl::StatusOr<std::vector<Item>> FindExtra(Session& session, const KnownKeys& known, size_t* entries) {
  std::vector<Item> extra;
  for (const EntryKind& kind : EntryKinds()) {
    PROV_RETURN_IF_ERROR(session.EachEntry(kind, [&](const std::string& key, const ldap::Entry&) {
      ++*entries;
      if (!known.Contains(kind.aggregate, key)) extra.push_back({kind.aggregate, key, 0, std::nullopt});
      return absl::OkStatus();
    }));
  }
  return extra;
}

Follower::Follower(store::SnapshotSource& source, const Clock& clock, FollowerOptions options,
                   std::function<bool(const Session&)> progress)
    : source_(source),
      options_(std::move(options)),
      progress_(std::move(progress)),
      failing_(clock, options_.retry) {}

absl::Status Follower::Publish(Session& session, const std::vector<Item>& items, uint64_t next_revision) {
  const Cursor before = session.cursor();
  auto refusals = PublishBatch(session, items, {.next_revision = next_revision, .singly = singly_});
  if (!refusals.ok()) {
    singly_ = !singly_ && absl::IsUnavailable(refusals.status());
    return refusals.status();
  }
  singly_ = false;
  // A line for a batch with news; the rest is in the status.
  const auto fresh = std::find_if(refusals->begin(), refusals->end(), [&](const Refusal& refusal) {
    return !before.failing.contains(refusal.name);
  });
  if (fresh != refusals->end()) {
    Log(Level::kWarning, "directory_records_refused",
        {{"records", refusals->size()}, {"first", fresh->name}, {"error", fresh->error}});
  }
  failing_.Follow(session.cursor());
  failing_.Refused(*refusals);
  return progress_(session) ? absl::OkStatus() : absl::CancelledError("stopping");
}

absl::StatusOr<Follower::Page> Follower::ReadPage(uint64_t after_revision) const {
  // A snapshot a page: a batch is written with nothing of the database held.
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, source_.OpenSnapshot());
  Page page{.after_revision = after_revision,
            .head_revision = snapshot->head_revision(),
            .needs_full_pass = after_revision < snapshot->compacted_revision()};
  if (page.needs_full_pass || after_revision >= page.head_revision) return page;
  PROV_ASSIGN_OR_RETURN(const ChangedItems changes,
                        ReadChanges(*snapshot, after_revision, options_.batch_entries));
  PROV_ASSIGN_OR_RETURN(page.items, ReadItems(*snapshot, changes.touched, options_.mapping));
  page.to_revision = changes.to_revision;
  return page;
}

absl::StatusOr<Follower::Page> Follower::TakePage(uint64_t after_revision) {
  if (ahead_.valid()) {
    absl::StatusOr<Page> page = ahead_.get();
    // One that could not be read, or after which there was nothing yet, is read again.
    if (page.ok() && page->after_revision == after_revision && page->head_revision > after_revision)
      return page;
  }
  return ReadPage(after_revision);
}

absl::Status Follower::CatchUp(Session& session) {
  failing_.Follow(session.cursor());
  ahead_ = {};  // of an earlier call that was broken off; the truth may have moved since
  for (;;) {
    const uint64_t at = session.cursor().revision;
    PROV_ASSIGN_OR_RETURN(Page page, TakePage(at));
    const uint64_t head = page.head_revision;
    if (at > head) {
      return absl::FailedPreconditionError(fmt::format(
          "the directory stands at revision {}, the database at {}: was it restored? Delete cn=cursor in "
          "the directory to make it follow this database",
          at, head));
    }
    if ((at == 0 && (head > 0 || !compared_)) || page.needs_full_pass) {
      PROV_RETURN_IF_ERROR(CompareAll(session));
      compared_ = true;
      continue;
    }
    const uint64_t to = page.to_revision;
    if (at != head) PROV_RETURN_IF_ERROR(PublishPage(session, std::move(page)));
    if (at == head || to == head) {
      removed_ = 0;
      return absl::OkStatus();
    }
  }
}

absl::Status Follower::PublishPage(Session& session, Page page) {
  PROV_RETURN_IF_ERROR(CountRemovals(page));
  if (page.to_revision < page.head_revision) {
    ahead_ = std::async(std::launch::async, [this, after = page.to_revision] { return ReadPage(after); });
  }
  const std::vector<std::vector<Item>> parts = Split(std::move(page.items), options_.batch_entries);
  if (parts.empty()) return Publish(session, {}, page.to_revision);
  for (size_t i = 0; i < parts.size(); ++i) {
    const uint64_t next = i + 1 == parts.size() ? page.to_revision : page.after_revision;
    PROV_RETURN_IF_ERROR(Publish(session, parts[i], next));
  }
  return absl::OkStatus();
}

absl::Status Follower::CompareAll(Session& session) {
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, source_.OpenSnapshot());
  return FullPass(session, *snapshot);
}

absl::Status Follower::RetryFailing(Session& session) {
  const Touched due = failing_.Due(options_.batch_entries);
  if (due.empty()) return absl::OkStatus();
  PROV_ASSIGN_OR_RETURN(std::unique_ptr<store::ReadSnapshot> snapshot, source_.OpenSnapshot());
  PROV_ASSIGN_OR_RETURN(const std::vector<Item> items, ReadItems(*snapshot, due, options_.mapping));
  snapshot.reset();
  return Publish(session, items, session.cursor().revision);
}

absl::Status Follower::CheckRemovals(size_t removals, size_t to_come, size_t entries, size_t most,
                                     std::string_view what) const {
  if (removals <= most || removals * 10 <= entries) return absl::OkStatus();
  const uint64_t approved = options_.approved_removals ? options_.approved_removals() : 0;
  if (removals <= approved) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "{} of {} entries {} Nothing more is removed until an operator says so: provctl approve directory "
      "--changes {}",
      removals, entries, what, removals + to_come));
}

// What a page of changes would remove, with those before it.
absl::Status Follower::CountRemovals(const Page& page) {
  const auto removals = static_cast<size_t>(std::count_if(
      page.items.begin(), page.items.end(), [](const Item& item) { return !item.wanted.has_value(); }));
  if (removed_ + removals > options_.most_changed_removals) {
    PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, source_.OpenSnapshot());
    PROV_ASSIGN_OR_RETURN(const uint64_t subscribers, snapshot->EstimatedSubscribers());
    PROV_RETURN_IF_ERROR(CheckRemovals(removed_ + removals, page.head_revision - page.to_revision,
                                       subscribers, options_.most_changed_removals,
                                       "would be gone by changes since the directory was last current."));
  }
  removed_ += removals;
  return absl::OkStatus();
}

absl::Status Follower::FullPass(Session& session, store::ReadSnapshot& snapshot) {
  const uint64_t before = session.cursor().revision;
  Log(Level::kInfo, "directory_full_pass", {{"cursor", before}, {"head", snapshot.head_revision()}});
  KnownKeys known;
  PROV_RETURN_IF_ERROR(
      ReadEverything(snapshot, options_.batch_entries, options_.mapping, [&](const std::vector<Item>& items) {
        known.Add(items);
        return Publish(session, items, before);
      }));
  return RemoveExtra(session, known, snapshot.head_revision());
}

// Absence is deletion only now that everything has been read.
absl::Status Follower::RemoveExtra(Session& session, const KnownKeys& known, uint64_t next_revision) {
  size_t entries = 0;
  PROV_ASSIGN_OR_RETURN(std::vector<Item> extra, FindExtra(session, known, &entries));
  PROV_RETURN_IF_ERROR(CheckRemovals(extra.size(), 0, entries, options_.most_removals,
                                     "are not in the database: is it the right one?"));
  const uint64_t before = session.cursor().revision;
  const std::vector<std::vector<Item>> parts = Split(std::move(extra), options_.batch_entries);
  for (const std::vector<Item>& part : parts) PROV_RETURN_IF_ERROR(Publish(session, part, before));
  return Publish(session, {}, next_revision);
}

}  // namespace prov::directory
