#include "agents/mail/queue/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <asio/dispatch.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cstring>
#include <system_error>
#include <utility>

#include "agents/mail/net/spawn.h"
#include "agents/mail/queue/mail_event.h"
#include "agents/mail/queue/runner_entry.h"
#include "common/log.h"
#include "common/random.h"
#include "common/status.h"

namespace prov::queue {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds kLongestSleep{60'000};

uint32_t RandomSeed() {
  uint32_t seed = 0;
  memcpy(&seed, RandomOctets(sizeof seed).data(), sizeof seed);
  return seed;
}

// Before mail is given up: a clock that jumped ahead, or a host that was off for days, is no reason alone.
constexpr uint32_t kLeastAttempts = 3;

// Files that are read at start before others have their turn.
constexpr size_t kResumedAtOnce = 200;

// Before all that is due: a time that has long been.
constexpr Time kBeforeOthers{milliseconds(1)};

// Until what was removed is removed for good.
constexpr std::chrono::seconds kRemovalLag{1};

// With jitter, and more.
constexpr std::chrono::hours kLongestHopRest{1};

// What another server may say for good, and a host of ours only because it is behind our view.
bool MayBeBehind(std::string_view reply) {
  return reply.starts_with("550 5.1.1") || reply.starts_with("550 5.2.1");
}

}  // namespace

Runner::Runner(asio::any_io_executor executor, Spool& spool, net::BlockingPool& pool,
               const route::NextHops& hops, Transport& transport, RunnerOptions options, const Clock& clock)
    : executor_(std::move(executor)),
      spool_(spool),
      pool_(pool),
      hops_(hops),
      transport_(transport),
      options_(std::move(options)),
      clock_(clock),
      timer_(executor_),
      sync_timer_(executor_),
      random_(RandomSeed()) {}

Runner::~Runner() = default;

double Runner::Chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }

absl::Status Runner::Start() {
  PROV_ASSIGN_OR_RETURN(auto scan, spool_.BeginScan());
  resuming_ = true;
  net::Spawn(executor_, "queue", Schedule());
  net::Spawn(executor_, "queue", Resume(std::move(scan)));
  return absl::OkStatus();
}

asio::awaitable<void> Runner::Resume(std::shared_ptr<SpoolScan> scan) {
  size_t messages = 0;
  while (!stopped_) {
    auto piece = co_await net::RunBlocking(pool_, [&scan] { return scan->Next(kResumedAtOnce); });
    if (!piece.ok()) {
      // What was not read stays for the next start.
      Log(Level::kError, "queue_not_read", {{"messages", messages}, {"error", piece.status()}});
      break;
    }
    if (!*piece) {
      if (messages > 0) Log(Level::kInfo, "queue_resumed", {{"messages", messages}});
      break;
    }
    messages += (*piece)->size();
    for (StoredMessage& message : **piece) Add(std::move(message), /*fresh=*/false);
  }
  resuming_ = false;
}

void Runner::Accept(StoredMessage message) {
  asio::dispatch(executor_,
                 [this, message = std::move(message)]() mutable { Add(std::move(message), /*fresh=*/true); });
}

void Runner::Add(StoredMessage message, bool fresh) {
  auto entry = std::make_shared<Entry>();
  entry->message = std::move(message);
  entry->fresh = fresh;
  const Envelope& envelope = entry->message.envelope;
  entry->dead =
      envelope.sender.empty() && std::any_of(envelope.recipients.begin(), envelope.recipients.end(),
                                             [](const Recipient& r) { return r.state == State::kFailed; });
  if (parked_.contains(envelope.id) || !entries_.emplace(envelope.id, entry).second) return;
  Plan(entry);
}

void Runner::Stop() {
  stopped_ = true;
  timer_.cancel();
  transport_.Stop();
}

// Gives the entry its place among those that wait.
void Runner::Plan(const EntryPtr& entry) {
  const Envelope& envelope = entry->message.envelope;
  Unplan(*entry);
  if (entry->dropped) return;
  if (entry->Done()) {
    // Delivered before the last end of the process, which came before the file was gone.
    if (entry->busy.empty()) net::Spawn(executor_, "queue", Finish(entry));
    return;
  }
  if (entry->message.held) return ParkIfMany(entry);
  Time next = Time::max();
  for (size_t i = 0; i < envelope.recipients.size(); ++i) {
    const Recipient& recipient = envelope.recipients[i];
    if (recipient.state == State::kPending && !entry->busy.contains(i)) next = std::min(next, recipient.due);
  }
  if (next == Time::max()) return;
  if (entry->fresh) next = kBeforeOthers;
  entry->planned = next;
  planned_.insert({next, envelope.id});
  timer_.cancel();
  ParkIfMany(entry);
}

void Runner::Unplan(Entry& entry) {
  if (entry.planned != Time()) planned_.erase({entry.planned, entry.message.envelope.id});
  entry.planned = Time();
}

// Nothing is planned further ahead than the schedule goes: what seems to be came of a clock that has been set
// back since.
bool Runner::IsDue(Time due, Time now) const {
  return due <= now || due > now + 2 * options_.retry.longest + kLongestHopRest;
}

asio::awaitable<void> Runner::Schedule() {
  while (!stopped_) {
    const Time now = clock_.Now();
    auto first = planned_.begin();
    if (!planned_.empty() && IsDue(planned_.rbegin()->first, now)) first = std::prev(planned_.end());
    if (planned_.empty() || !IsDue(first->first, now)) {
      milliseconds wait = kLongestSleep;
      if (!planned_.empty()) {
        wait = std::min(wait, std::chrono::ceil<milliseconds>(planned_.begin()->first - now));
      }
      timer_.expires_after(wait);
      std::error_code ignored;
      co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      continue;
    }
    const std::pair<Time, std::string> place = *first;
    const EntryPtr entry = co_await Take(place.second);
    const auto parked = parked_.find(place.second);
    // A place that is nobody's any more would be the first for ever.
    if (parked == parked_.end() || parked->second.planned != place.first) planned_.erase(place);
    if (!entry) continue;
    Unplan(*entry);
    co_await Dispatch(entry);
  }
}

// Finds the next hop of each recipient that is due.
asio::awaitable<void> Runner::Dispatch(EntryPtr entry) {
  const std::vector<Recipient>& recipients = entry->message.envelope.recipients;
  std::vector<size_t> due;
  for (size_t i = 0; i < recipients.size(); ++i) {
    const bool waits = recipients[i].state == State::kPending && !entry->busy.contains(i);
    if (waits && IsDue(recipients[i].due, clock_.Now())) due.push_back(i);
  }
  const bool fresh = std::exchange(entry->fresh, false);
  // A clock that was set back in between: its time has yet to come.
  if (due.empty()) {
    Plan(entry);
    co_return;
  }
  entry->busy.insert(due.begin(), due.end());
  std::vector<route::HopDecision> decisions;
  for (const size_t index : due) decisions.push_back(hops_.Find(recipients[index].address));
  co_await asio::post(executor_,
                      asio::use_awaitable);  // a long queue that is due lets others have their turn
  std::map<std::string, Job> jobs;
  std::vector<Result> results;
  for (size_t i = 0; i < due.size(); ++i) {
    if (const auto* hop = std::get_if<route::NextHop>(&decisions[i])) {
      Job& job = jobs[hop->name];
      job.hop = *hop;
      job.recipients.push_back(due[i]);
      job.addresses.push_back(hop->address);
    } else if (const auto* later = std::get_if<route::NotNow>(&decisions[i])) {
      Result result{due[i], {State::kPending, later->reason}};
      result.soon = later->soon;
      results.push_back(std::move(result));
    } else {
      results.push_back({due[i], {State::kFailed, std::get<route::NoWay>(decisions[i]).reason}});
    }
  }
  if (!results.empty()) net::Spawn(executor_, "queue", Settle(entry, std::move(results)));
  for (auto& [name, job] : jobs) {
    if (entry->Stays() || (!fresh && IsCrowded(name))) {
      PutOff(entry, job.recipients);
      continue;
    }
    job.entry = entry;
    job.fresh = fresh;
    Enqueue(std::move(job));
  }
}

// The more messages there are, the later, so that looking at them again and again does not keep the loop
// busy.
void Runner::PutOff(const EntryPtr& entry, const std::vector<size_t>& recipients) {
  const auto spread =
      std::min(std::max(milliseconds(entries_.size()), milliseconds(kSoon)), options_.retry.longest);
  const Time due = clock_.Now() + kSoon +
                   milliseconds(static_cast<int64_t>(static_cast<double>(spread.count()) * Chance()));
  for (const size_t index : recipients) {
    entry->message.envelope.recipients[index].due = due;
    entry->busy.erase(index);
  }
  if (entry->dropped && entry->busy.empty()) {
    net::Spawn(executor_, "queue", Finish(entry));
  } else {
    Plan(entry);
  }
}

// Not all of them at the very moment at which the hop's rest ends.
milliseconds Runner::JitterAfterRest() {
  return milliseconds(static_cast<int64_t>(static_cast<double>(kSoon.count()) * Chance()));
}

Time Runner::DueAfter(uint32_t attempts, bool soon) {
  RetrySchedule schedule = options_.retry;
  if (soon) schedule.first = std::min(schedule.first, kSoon);
  return clock_.Now() + RetryDelay(schedule, attempts, Chance());
}

// Turns "come again" into "never" when the time is over, and the other way round while a host may be behind.
void Runner::Judge(const Entry& entry, Result& result) const {
  const Envelope& envelope = entry.message.envelope;
  const auto age = clock_.Now() - envelope.received;
  Outcome& outcome = result.outcome;
  if (outcome.state == State::kFailed && result.shares_our_view && age < kViewLag &&
      MayBeBehind(outcome.reply)) {
    outcome.state = State::kPending;
    result.soon = true;
  }
  const bool tried_enough = envelope.recipients[result.recipient].attempts + 1 >= kLeastAttempts;
  if (entry.Stays()) return;
  if (outcome.state == State::kPending && age > options_.retry.give_up && tried_enough) {
    result.expired = true;
    const std::string& earlier = envelope.recipients[result.recipient].reason;
    outcome.state = State::kFailed;
    outcome.reply = fmt::format("550 5.4.7 not delivered in time; last: {}",
                                result.postponed && !earlier.empty() ? earlier : outcome.reply);
    result.postponed = false;
  }
}

asio::awaitable<void> Runner::Settle(EntryPtr entry, std::vector<Result> results) {
  ++active_;
  for (Result& result : results) Judge(*entry, result);
  co_await Notify(entry, results);
  co_await Record(entry, results);
  co_await NotifyOfDelay(entry);
  for (const Result& result : results) entry->busy.erase(result.recipient);
  if ((entry->Done() || entry->dropped) && entry->busy.empty()) {
    co_await Finish(entry);
  } else {
    Plan(entry);
  }
  --active_;
}

// Everybody has the message, and its file goes at once: a journal that says so is not worth waiting for the
// disk. A kill in between does what one before the journal does, and no more can happen than a second
// delivery (RFC 5321 section 6.1). Failures are always noted first: nobody is told twice.
bool Runner::LeavesNothing(const Entry& entry, const std::vector<Result>& results) {
  return entry.Done() && !entry.dead && entry.busy.size() == results.size() &&
         std::all_of(results.begin(), results.end(),
                     [](const Result& result) { return result.outcome.state == State::kDelivered; });
}

asio::awaitable<void> Runner::Record(EntryPtr entry, const std::vector<Result>& results) {
  Envelope& envelope = entry->message.envelope;
  bool durable = false;
  std::vector<JournalEntry> journal;
  for (const Result& result : results) {
    Recipient& recipient = envelope.recipients[result.recipient];
    const Outcome& outcome = result.outcome;
    if (result.postponed && outcome.state == State::kPending) {
      recipient.due = clock_.Now() + result.rest + JitterAfterRest();
      continue;
    }
    JournalEntry change{outcome.state, clock_.Now(), Time(), {result.recipient}, outcome.reply};
    if (outcome.state == State::kPending) change.due = DueAfter(recipient.attempts + 1, result.soon);
    durable |= outcome.state != State::kPending;
    ApplyEntry(change, envelope);
    const char* event = outcome.state == State::kDelivered ? "mail_delivered"
                        : result.expired                   ? "mail_expired"
                        : outcome.state == State::kFailed  ? "mail_bounced"
                                                           : "mail_deferred";
    const auto delay = std::chrono::duration_cast<milliseconds>(change.time - envelope.received).count();
    TellOfMail(options_.trace, outcome.state == State::kDelivered ? Level::kInfo : Level::kWarning, event,
               {{"trace", envelope.trace},
                {"queue_id", envelope.id},
                {"sender", envelope.sender},
                {"recipient", recipient.address},
                {"hop", result.hop},
                {"reply", outcome.reply},
                {"delay_ms", delay}});
    journal.push_back(std::move(change));
  }
  if (journal.empty() || LeavesNothing(*entry, results)) co_return;
  const absl::Status status = co_await net::RunBlocking(pool_, [&] {
    for (size_t i = 0; i < journal.size(); ++i) {
      PROV_RETURN_IF_ERROR(spool_.Record(envelope.id, journal[i], durable && i + 1 == journal.size()));
    }
    return absl::OkStatus();
  });
  // What is known here stays known; only a restart now would deliver twice.
  if (!status.ok()) entry->unrecorded = true;
  if (!status.ok()) Log(Level::kError, "queue_record_failed", {{"trace", envelope.trace}, {"error", status}});
}

asio::awaitable<void> Runner::Finish(EntryPtr entry) {
  Unplan(*entry);
  if (!entry->dead) {
    done_.push_back(std::move(entry));
    if (std::exchange(removing_, true)) co_return;
    ++active_;  // until it is gone, a restart would deliver it again
    net::Spawn(executor_, "queue_remove", RemoveDone());
    co_return;
  }
  const Envelope& envelope = entry->message.envelope;
  const absl::Status status = co_await net::RunBlocking(pool_, [&] { return spool_.Bury(envelope.id); });
  if (!status.ok()) Log(Level::kError, "queue_remove_failed", {{"trace", envelope.trace}, {"error", status}});
  TellOfMail(options_.trace, Level::kError, "mail_dead",
             {{"trace", envelope.trace}, {"queue_id", envelope.id}, {"sender", envelope.sender}});
  entries_.erase(envelope.id);
}

// All that were done since the last look, so that a busy queue hands them to the disk together.
asio::awaitable<void> Runner::RemoveDone() {
  while (!done_.empty()) {
    const std::vector<EntryPtr> batch = std::exchange(done_, {});
    co_await net::RunBlocking(pool_, [this, &batch] {
      for (const EntryPtr& entry : batch) {
        const Envelope& envelope = entry->message.envelope;
        const absl::Status status = spool_.Remove(envelope.id);
        if (!status.ok())
          Log(Level::kError, "queue_remove_failed", {{"trace", envelope.trace}, {"error", status}});
      }
    });
    for (const EntryPtr& entry : batch) {
      Unplan(*entry);
      entries_.erase(entry->message.envelope.id);
    }
  }
  removing_ = false;
  --active_;
  SyncSoon();
}

// A power cut brings back what was removed within the last second, and it is delivered once more. Others that
// are accepted meanwhile share the cost: they sync the same directory.
void Runner::SyncSoon() {
  if (stopped_ || std::exchange(sync_planned_, true)) return;
  sync_timer_.expires_after(kRemovalLag);
  sync_timer_.async_wait([this](const std::error_code& error) {
    if (!error) net::Spawn(executor_, "queue_sync", SyncRemovals());
  });
}

asio::awaitable<void> Runner::SyncRemovals() {
  sync_planned_ = false;
  const absl::Status status = co_await net::RunBlocking(pool_, [this] { return spool_.SyncRemovals(); });
  if (!status.ok()) Log(Level::kError, "queue_sync_failed", {{"error", status}});
}

}  // namespace prov::queue
