// Runner: what the sender of a message is told (RFC 3461 section 5).
#include <fmt/format.h>

#include <asio/use_awaitable.hpp>
#include <utility>

#include "agents/mail/queue/notification.h"
#include "agents/mail/queue/runner.h"
#include "agents/mail/queue/runner_entry.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::queue {
namespace {

// It follows from the first recipient that it tells of, so that telling again after a crash is no second one.
std::string NotificationId(const Envelope& original, DsnAction action, const Report& first) {
  const auto recipient = first.recipient - original.recipients.data();
  return fmt::format("{}{}{}", original.id, action == DsnAction::kDelayed ? 'w' : 'd', recipient);
}

}  // namespace

// Tells the sender of those that failed for good, and of others if he asked for it. Who cannot be told now of
// a failure is tried again later.
asio::awaitable<void> Runner::Notify(EntryPtr entry, std::vector<Result>& results) {
  if (entry->dropped) co_return;
  const Envelope& original = entry->message.envelope;
  std::vector<Report> failed, delivered, relayed;
  bool untold = false;  // of a failure that somebody would want to know of
  for (const Result& result : results) {
    const Recipient& recipient = original.recipients[result.recipient];
    const Outcome& outcome = result.outcome;
    untold |= outcome.state == State::kFailed && recipient.notify.of_failure();
    if (outcome.state == State::kFailed && recipient.notify.of_failure())
      failed.push_back({&recipient, outcome.reply});
    if (outcome.state == State::kDelivered && recipient.notify.success && !outcome.told_by_next_hop)
      (outcome.final ? delivered : relayed).push_back({&recipient, outcome.reply});
  }
  if (original.sender.empty()) {
    entry->dead |= untold;  // RFC 5321 section 6.1: a notification is never sent for one
    co_return;
  }
  const bool told = co_await NotifyOf(*entry, DsnAction::kFailed, failed);
  if (!told) {
    for (Result& result : results) {
      if (result.outcome.state == State::kFailed) result.outcome.state = State::kPending;
    }
  }
  co_await NotifyOf(*entry, DsnAction::kDelivered, delivered);
  co_await NotifyOf(*entry, DsnAction::kRelayed, relayed);
}

// Once for each recipient.
asio::awaitable<void> Runner::NotifyOfDelay(EntryPtr entry) {
  const Envelope& original = entry->message.envelope;
  const bool late =
      options_.delay_notice.count() > 0 && clock_.Now() - original.received >= options_.delay_notice;
  if (!late || original.sender.empty() || entry->Stays()) co_return;
  std::vector<Report> delayed;
  JournalEntry told{.time = clock_.Now(), .told_of_delay = true};
  for (size_t i = 0; i < original.recipients.size(); ++i) {
    const Recipient& recipient = original.recipients[i];
    const bool waits = recipient.state == State::kPending && recipient.attempts > 0;
    if (!waits || recipient.told_of_delay || !recipient.notify.of_delay()) continue;
    delayed.push_back({&recipient, recipient.reason});
    told.recipients.push_back(i);
  }
  if (delayed.empty()) co_return;
  // Before anything is waited for: another hop of the message may come here meanwhile.
  ApplyEntry(told, entry->message.envelope);
  const bool written = co_await NotifyOf(*entry, DsnAction::kDelayed, delayed);
  if (!written) {
    for (const size_t i : told.recipients) entry->message.envelope.recipients[i].told_of_delay = false;
    co_return;
  }
  const absl::Status recorded =
      co_await net::RunBlocking(pool_, [&] { return spool_.Record(original.id, told, false); });
  if (!recorded.ok())
    Log(Level::kError, "queue_record_failed", {{"trace", original.trace}, {"error", recorded}});
}

// False: the sender could not be told now. Those whom a process told of that was killed before it noted it
// are passed over: what lies there may be on its way, and is not to be written over.
asio::awaitable<bool> Runner::NotifyOf(const Entry& entry, DsnAction action, const std::vector<Report>& all) {
  const Envelope& original = entry.message.envelope;
  std::vector<Report> reports = all;
  while (!reports.empty()) {
    const bool told = co_await LiesThere(NotificationId(original, action, reports.front()));
    if (!told) break;
    reports.erase(reports.begin());
  }
  if (reports.empty()) co_return true;
  StoredMessage notification;
  const absl::Status written = co_await net::RunBlocking(
      pool_, [&] { return WriteNotification(entry, action, reports, &notification); });
  if (written.ok()) {
    Accept(std::move(notification));
  } else {
    Log(Level::kError, "notification_failed", {{"trace", original.trace}, {"error", written}});
  }
  co_return written.ok();
}

// While the queue is still being read, what lies there is not yet known here.
asio::awaitable<bool> Runner::LiesThere(const std::string& id) {
  if (entries_.contains(id) || parked_.contains(id)) co_return true;
  if (!resuming_) co_return false;
  co_return co_await net::RunBlocking(pool_, [&] { return spool_.Has(id); });
}

// Blocks.
absl::Status Runner::WriteNotification(const Entry& entry, DsnAction action,
                                       const std::vector<Report>& reports, StoredMessage* stored) {
  const Envelope& original = entry.message.envelope;
  PROV_ASSIGN_OR_RETURN(const auto content, spool_.OpenContent(entry.message));
  Notification notification;
  PROV_ASSIGN_OR_RETURN(notification.original_start, content->Read());
  // RFC 3461 section 4.3: only of what failed.
  notification.whole = action == DsnAction::kFailed && original.returned == Return::kFull &&
                       entry.message.content_octets <= kMaxReturnedOctets &&
                       notification.original_start.size() == entry.message.content_octets;
  notification.hostname = options_.hostname;
  notification.now = clock_.Now();
  notification.original = &original;
  notification.action = action;
  notification.retried_until = original.received + options_.retry.give_up;
  notification.reports = reports;
  notification.id = NotificationId(original, action, reports.front());
  Envelope envelope = NotificationEnvelope(original, notification.id, notification.now);
  PROV_ASSIGN_OR_RETURN(const auto writer, spool_.Begin(std::move(envelope)));
  PROV_RETURN_IF_ERROR(writer->Append(FormatNotification(notification)));
  PROV_ASSIGN_OR_RETURN(*stored, writer->Commit());
  return absl::OkStatus();
}

}  // namespace prov::queue
