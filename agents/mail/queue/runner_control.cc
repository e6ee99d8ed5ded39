// What an operator asks of the queue: list, hold, release, drop, flush.
#include <algorithm>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <map>
#include <utility>

#include "agents/mail/queue/mail_event.h"
#include "agents/mail/queue/runner_entry.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::queue {
namespace {

// Messages looked at before others have their turn on the loop; and read, or changed, on the disk.
constexpr size_t kLookedAtOnce = 2000, kTakenAtOnce = 200;

const char* EventOf(Runner::Action action) {
  switch (action) {
    case Runner::Action::kHold:
      return "mail_held";
    case Runner::Action::kRelease:
      return "mail_released";
    case Runner::Action::kDrop:
      return "mail_dropped";
    case Runner::Action::kFlush:
      break;
  }
  return "mail_flushed";
}

// Whether it is not so already. Held mail is not flushed.
bool Changes(Runner::Action action, const StoredMessage& message) {
  if (action == Runner::Action::kDrop) return true;
  return message.held == (action == Runner::Action::kRelease);
}

std::vector<std::string> PendingOf(const Envelope& envelope) {
  std::vector<std::string> pending;
  for (const Recipient& recipient : envelope.recipients) {
    if (recipient.state == State::kPending) pending.push_back(recipient.address);
  }
  return pending;
}

// A message that was finished meanwhile is nobody's fault.
absl::Status UnlessGone(const absl::Status& status) {
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace

// Those in memory that match go into `found`; of the others, which have to be read first, the ids are
// returned.
std::vector<std::string> Runner::Look(const Selection& selection, std::string& after, Found& found) const {
  std::vector<std::string> unread;
  const auto take = [&](const EntryPtr& entry) {
    if (!entry->dropped && Matches(selection, entry->message.envelope)) found.entries.emplace_back(entry);
  };
  if (!selection.ids.empty()) {
    for (const std::string& id : selection.ids) {
      if (parked_.contains(id)) unread.push_back(id);
      if (const auto entry = entries_.find(id); entry != entries_.end()) take(entry->second);
    }
    after.clear();
    return unread;
  }
  auto here = entries_.upper_bound(after);
  auto parked = parked_.upper_bound(after);
  for (size_t looked = 0; looked < kLookedAtOnce && found.entries.size() + unread.size() < kTakenAtOnce;
       ++looked) {
    const bool is_parked = parked != parked_.end() && (here == entries_.end() || parked->first < here->first);
    if (!is_parked && here == entries_.end()) {
      after.clear();
      return unread;
    }
    after = is_parked ? parked->first : here->first;
    if (is_parked) {
      unread.push_back((parked++)->first);
    } else {
      take((here++)->second);
    }
  }
  return unread;
}

asio::awaitable<Runner::Found> Runner::Select(const Selection& selection, std::string& after) {
  Found found;
  std::vector<std::string> unread = Look(selection, after, found);
  while (!unread.empty()) {
    std::map<std::string, uint64_t> versions;
    for (const std::string& id : unread) versions[id] = parked_.at(id).version;
    std::vector<StoredMessage> messages = co_await Load(std::move(unread));
    unread.clear();
    for (StoredMessage& message : messages) {
      const std::string& id = message.envelope.id;
      if (!Matches(selection, message.envelope)) continue;
      // Its time may have come meanwhile: then it is in memory, or finished, or parked again and another one.
      const auto parked = parked_.find(id);
      if (const auto entry = entries_.find(id); entry != entries_.end()) {
        if (!entry->second->dropped) found.entries.emplace_back(entry->second);
      } else if (parked != parked_.end() && parked->second.version != versions[id]) {
        unread.push_back(id);
      } else if (parked != parked_.end()) {
        found.parked.push_back(std::move(message));
      }
    }
  }
  co_return found;
}

asio::awaitable<std::vector<StoredMessage>> Runner::List(const Selection& selection, std::string& after) {
  Found found = co_await Select(selection, after);
  for (const Pin& entry : found.entries) found.parked.push_back(entry->message);
  std::sort(found.parked.begin(), found.parked.end(),
            [](const StoredMessage& a, const StoredMessage& b) { return a.envelope.id < b.envelope.id; });
  co_return std::move(found.parked);
}

asio::awaitable<absl::StatusOr<Runner::Changed>> Runner::Apply(Change change) {
  Changed result;
  std::string after;
  do {
    Found found = co_await Select(change.selection, after);
    result.matched += found.entries.size() + found.parked.size();
    if (change.rehearse) {
      const auto changes = [&](const StoredMessage& message) { return Changes(change.action, message); };
      result.changed +=
          static_cast<uint64_t>(std::count_if(found.parked.begin(), found.parked.end(), changes));
      found.parked.clear();
    }
    for (StoredMessage& message : found.parked) {
      if (!Changes(change.action, message)) continue;
      if (EntryPtr entry = Unpark(std::move(message))) found.entries.emplace_back(std::move(entry));
    }
    const absl::Status status = co_await ApplyTo(change, std::move(found.entries), result);
    if (!status.ok()) co_return status;
    co_await asio::post(executor_, asio::use_awaitable);  // others first
  } while (!after.empty() && !stopped_);
  co_return result;
}

asio::awaitable<absl::Status> Runner::ApplyTo(const Change& change, std::vector<Pin> entries,
                                              Changed& result) {
  std::erase_if(entries, [&](const Pin& entry) { return !Changes(change.action, entry->message); });
  if (change.rehearse || entries.empty()) {
    result.changed += entries.size();
    co_return absl::OkStatus();
  }
  absl::Status status;
  if (change.action == Action::kHold || change.action == Action::kRelease)
    status = co_await Hold(entries, change.action == Action::kHold);
  if (change.action == Action::kDrop) status = co_await Drop(entries);
  if (!status.ok()) co_return status;
  for (const Pin& entry : entries) {
    if (change.action == Action::kRelease || change.action == Action::kFlush) Flush(entry.entry());
    const Envelope& envelope = entry->message.envelope;
    TellOfMail(options_.trace, Level::kInfo, EventOf(change.action),
               {{"trace", envelope.trace},
                {"queue_id", envelope.id},
                {"sender", envelope.sender},
                {"by", change.by}},
               PendingOf(envelope));
  }
  result.changed += entries.size();
  co_return absl::OkStatus();
}

// In effect before it is durable, and no longer when it cannot be.
asio::awaitable<absl::Status> Runner::Hold(const std::vector<Pin>& entries, bool held) {
  for (const Pin& entry : entries) {
    entry->message.held = held;
    if (held) Unplan(*entry.entry());
  }
  const Time now = clock_.Now();
  absl::Status status = co_await net::RunBlocking(pool_, [&] {
    for (const Pin& entry : entries)
      PROV_RETURN_IF_ERROR(UnlessGone(spool_.RecordHold(entry->message.envelope.id, now, held)));
    return absl::OkStatus();
  });
  for (const Pin& entry : entries) {
    if (!status.ok()) entry->message.held = !held;
    // What is released is flushed next.
    if (entry->message.held || !status.ok()) Plan(entry.entry());
  }
  co_return status;
}

asio::awaitable<absl::Status> Runner::Drop(const std::vector<Pin>& entries) {
  std::vector<EntryPtr> idle;  // who is being delivered goes when that has ended
  for (const Pin& entry : entries) {
    entry->dropped = true;
    Unplan(*entry.entry());
    if (entry->busy.empty()) idle.push_back(entry.entry());
  }
  if (idle.empty()) co_return absl::OkStatus();
  const absl::Status status = co_await net::RunBlocking(pool_, [&] {
    for (const EntryPtr& entry : idle) PROV_RETURN_IF_ERROR(spool_.Remove(entry->message.envelope.id));
    // One sync for all of them.
    return spool_.Withdraw(idle.back()->message.envelope.id);
  });
  for (const EntryPtr& entry : idle) {
    if (status.ok()) {
      entries_.erase(entry->message.envelope.id);
    } else {
      entry->dropped = false;
      Plan(entry);
    }
  }
  co_return status;
}

void Runner::Flush(const EntryPtr& entry) {
  const Time now = clock_.Now();
  entry->flushed = clock_.Monotonic();
  std::vector<Recipient>& recipients = entry->message.envelope.recipients;
  for (size_t i = 0; i < recipients.size(); ++i) {
    if (recipients[i].state == State::kPending && !entry->busy.contains(i)) recipients[i].due = now;
  }
  // One whose file is being removed just now is not to be planned again.
  if (!entry->Done()) Plan(entry);
}

}  // namespace prov::queue
