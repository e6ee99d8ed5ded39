#include "agents/mail/queue/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cstring>
#include <system_error>
#include <utility>

#include "agents/mail/net/spawn.h"
#include "agents/mail/queue/notification.h"
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

// With jitter, and more.
constexpr std::chrono::hours kLongestHopRest{1};

// What another server may say for good, and a host of ours only because it is behind our view.
bool MayBeBehind(std::string_view reply) {
  return reply.starts_with("550 5.1.1") || reply.starts_with("550 5.2.1");
}

// It follows from the first recipient that it tells of, so that telling again after a crash is no second one.
std::string NotificationId(const std::string& original, size_t recipient) {
  return fmt::format("{}d{}", original, recipient);
}

}  // namespace

struct Runner::Entry {
  StoredMessage message;
  std::set<size_t> busy;  // recipients being delivered
  Time planned;           // its place in planned_; the epoch: none
  bool dead = false;      // somebody could be neither reached nor told

  bool Done() const {
    const auto& recipients = message.envelope.recipients;
    return std::none_of(recipients.begin(), recipients.end(),
                        [](const Recipient& r) { return r.state == State::kPending; });
  }
};

struct Runner::Job {
  EntryPtr entry;
  route::NextHop hop;
  std::vector<size_t> recipients;
  std::vector<std::string> addresses;
};

struct Runner::Hop {
  std::string name;
  std::deque<Job> jobs;
  size_t workers = 0;
  std::chrono::steady_clock::time_point rests_until;
};

struct Runner::Result {
  size_t recipient = 0;
  Outcome outcome;
  bool soon = false;
  bool shares_our_view = false;
  bool postponed = false;  // not tried: no attempt
  milliseconds rest{0};    // when postponed: how long the hop still rests
  std::string hop;
};

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
      random_(RandomSeed()) {}

Runner::~Runner() = default;

double Runner::Chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }

absl::Status Runner::Start() {
  PROV_ASSIGN_OR_RETURN(std::vector<StoredMessage> messages, spool_.Scan());
  if (!messages.empty()) Log(Level::kInfo, "queue_resumed", {{"messages", messages.size()}});
  for (StoredMessage& message : messages) Accept(std::move(message));
  net::Spawn(executor_, "queue", Schedule());
  return absl::OkStatus();
}

void Runner::Accept(StoredMessage message) {
  auto entry = std::make_shared<Entry>();
  entry->message = std::move(message);
  const Envelope& envelope = entry->message.envelope;
  entry->dead =
      envelope.sender.empty() && std::any_of(envelope.recipients.begin(), envelope.recipients.end(),
                                             [](const Recipient& r) { return r.state == State::kFailed; });
  if (!entries_.emplace(envelope.id, entry).second) return;
  Plan(entry);
}

void Runner::Stop() {
  stopped_ = true;
  timer_.cancel();
}

// Gives the entry its place among those that wait.
void Runner::Plan(const EntryPtr& entry) {
  const Envelope& envelope = entry->message.envelope;
  if (entry->planned != Time()) planned_.erase({entry->planned, envelope.id});
  entry->planned = Time();
  if (entry->Done()) {
    // Delivered before the last end of the process, which came before the file was gone.
    if (entry->busy.empty()) net::Spawn(executor_, "queue", Finish(entry));
    return;
  }
  Time next = Time::max();
  for (size_t i = 0; i < envelope.recipients.size(); ++i) {
    const Recipient& recipient = envelope.recipients[i];
    if (recipient.state == State::kPending && !entry->busy.contains(i)) next = std::min(next, recipient.due);
  }
  if (next == Time::max()) return;
  entry->planned = next;
  planned_.insert({next, envelope.id});
  timer_.cancel();
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
    const EntryPtr entry = entries_.at(first->second);
    planned_.erase(first);
    entry->planned = Time();
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
  // A clock that was set back in between: its time has yet to come.
  if (due.empty()) {
    Plan(entry);
    co_return;
  }
  entry->busy.insert(due.begin(), due.end());
  const std::vector<route::HopDecision> decisions = co_await net::RunBlocking(pool_, [&] {
    std::vector<route::HopDecision> found;
    for (const size_t index : due) found.push_back(hops_.Find(recipients[index].address));
    return found;
  });
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
    job.entry = entry;
    Enqueue(std::move(job));
  }
}

void Runner::Enqueue(Job job) {
  std::shared_ptr<Hop>& hop = by_hop_[job.hop.name];
  if (!hop) hop = std::make_shared<Hop>();
  hop->name = job.hop.name;
  hop->jobs.push_back(std::move(job));
  if (hop->workers == kConnectionsPerHop) return;
  ++hop->workers;
  net::Spawn(executor_, "queue_hop", Work(hop), [this, hop] {
    --hop->workers;
    if (hop->workers == 0 && hop->jobs.empty() && clock_.Monotonic() >= hop->rests_until)
      by_hop_.erase(hop->name);
  });
}

asio::awaitable<void> Runner::Work(std::shared_ptr<Hop> hop) {
  while (!stopped_ && !hop->jobs.empty()) {
    const Job job = std::move(hop->jobs.front());
    hop->jobs.pop_front();
    std::vector<Result> results = co_await Attempt(*hop, job);
    co_await Settle(job.entry, std::move(results));
  }
}

asio::awaitable<std::vector<Runner::Result>> Runner::Attempt(Hop& hop, const Job& job) {
  std::vector<Outcome> outcomes;
  const auto left = std::chrono::ceil<milliseconds>(hop.rests_until - clock_.Monotonic());
  const bool rests = left.count() > 0;
  if (rests) {
    outcomes.assign(job.recipients.size(),
                    {State::kPending, "450 4.4.1 the next hop did not answer a moment ago"});
  } else {
    DeliveryRequest request;
    request.message = &job.entry->message;
    request.spool = &spool_;
    request.hop = job.hop;
    request.addresses = job.addresses;
    ++active_;
    outcomes = co_await transport_.Deliver(request);
    --active_;
    const bool unreachable = !outcomes.empty() && outcomes.front().unreachable;
    const milliseconds rest =
        job.hop.shares_our_view ? kSoon : std::min<milliseconds>(kHopRest, options_.retry.first);
    if (unreachable) hop.rests_until = clock_.Monotonic() + rest;
  }
  std::vector<Result> results;
  for (size_t i = 0; i < job.recipients.size(); ++i) {
    Result result{job.recipients[i], outcomes[i]};
    result.hop = job.hop.name;
    result.shares_our_view = job.hop.shares_our_view;
    result.soon = job.hop.shares_our_view && outcomes[i].unreachable;
    result.postponed = rests;
    result.rest = left;
    results.push_back(std::move(result));
  }
  co_return results;
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
  if (outcome.state == State::kPending && age > options_.retry.give_up && tried_enough) {
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
  for (const Result& result : results) entry->busy.erase(result.recipient);
  if (entry->Done() && entry->busy.empty()) {
    co_await Finish(entry);
  } else {
    Plan(entry);
  }
  --active_;
}

// Tells the sender of those that failed for good; who cannot be told now is tried again later.
asio::awaitable<void> Runner::Notify(EntryPtr entry, std::vector<Result>& results) {
  std::vector<Result> failed;
  for (const Result& result : results) {
    if (result.outcome.state == State::kFailed) failed.push_back(result);
  }
  if (failed.empty()) co_return;
  const Envelope& original = entry->message.envelope;
  if (original.sender.empty()) {
    entry->dead = true;  // RFC 5321 section 6.1: a notification is never sent for one
    co_return;
  }
  // Those whom a process told of that was killed before it noted it. What lies there may be on its way: it is
  // not to be written over.
  while (!failed.empty() && entries_.contains(NotificationId(original.id, failed.front().recipient))) {
    failed.erase(failed.begin());
  }
  if (failed.empty()) co_return;
  StoredMessage notification;
  const absl::Status written =
      co_await net::RunBlocking(pool_, [&] { return WriteNotification(*entry, failed, &notification); });
  if (written.ok()) {
    Accept(std::move(notification));
    co_return;
  }
  Log(Level::kError, "notification_failed", {{"trace", original.trace}, {"error", written}});
  for (Result& result : results) {
    if (result.outcome.state == State::kFailed) result.outcome.state = State::kPending;
  }
}

// Blocks.
absl::Status Runner::WriteNotification(const Entry& entry, const std::vector<Result>& failed,
                                       StoredMessage* stored) {
  const Envelope& original = entry.message.envelope;
  PROV_ASSIGN_OR_RETURN(const auto content, spool_.OpenContent(entry.message));
  Notification notification;
  PROV_ASSIGN_OR_RETURN(notification.original_start, content->Read());
  notification.hostname = options_.hostname;
  notification.now = clock_.Now();
  notification.original = &original;
  for (const Result& result : failed) {
    notification.failed.push_back({original.recipients[result.recipient].address, result.outcome.reply});
  }
  Envelope envelope;
  envelope.id = notification.id = NotificationId(original.id, failed.front().recipient);
  envelope.trace = original.trace;
  envelope.received = notification.now;
  envelope.client = "local";
  envelope.eight_bit = true;
  envelope.recipients.push_back({original.sender});
  PROV_ASSIGN_OR_RETURN(const auto writer, spool_.Begin(std::move(envelope)));
  PROV_RETURN_IF_ERROR(writer->Append(FormatNotification(notification)));
  PROV_ASSIGN_OR_RETURN(*stored, writer->Commit());
  return absl::OkStatus();
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
                        : outcome.state == State::kFailed  ? "mail_bounced"
                                                           : "mail_deferred";
    const auto delay = std::chrono::duration_cast<milliseconds>(change.time - envelope.received).count();
    Log(outcome.state == State::kDelivered ? Level::kInfo : Level::kWarning, event,
        {{"trace", envelope.trace},
         {"queue_id", envelope.id},
         {"recipient", recipient.address},
         {"hop", result.hop},
         {"reply", outcome.reply},
         {"delay_ms", delay}});
    journal.push_back(std::move(change));
  }
  if (journal.empty()) co_return;
  const absl::Status status = co_await net::RunBlocking(pool_, [&] {
    for (size_t i = 0; i < journal.size(); ++i) {
      PROV_RETURN_IF_ERROR(spool_.Record(envelope.id, journal[i], durable && i + 1 == journal.size()));
    }
    return absl::OkStatus();
  });
  // What is known here stays known; only a restart now would deliver twice.
  if (!status.ok()) Log(Level::kError, "queue_record_failed", {{"trace", envelope.trace}, {"error", status}});
}

asio::awaitable<void> Runner::Finish(EntryPtr entry) {
  const Envelope& envelope = entry->message.envelope;
  const absl::Status status = co_await net::RunBlocking(
      pool_, [&] { return entry->dead ? spool_.Bury(envelope.id) : spool_.Remove(envelope.id); });
  if (!status.ok()) Log(Level::kError, "queue_remove_failed", {{"trace", envelope.trace}, {"error", status}});
  if (entry->dead) Log(Level::kError, "mail_dead", {{"trace", envelope.trace}, {"queue_id", envelope.id}});
  if (entry->planned != Time()) planned_.erase({entry->planned, envelope.id});
  entries_.erase(envelope.id);
}

}  // namespace prov::queue
