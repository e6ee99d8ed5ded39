// Delivers what lies in a spool: when it is due, to the next hop of the moment, until it is delivered,
// returned to its sender, or put aside as dead. Nothing is lost, whenever the process ends.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/queue/message_format.h"
#include "agents/mail/queue/notification.h"
#include "agents/mail/queue/retry.h"
#include "agents/mail/queue/selection.h"
#include "agents/mail/queue/spool.h"
#include "agents/mail/queue/trace_log.h"
#include "agents/mail/queue/transport.h"
#include "agents/mail/route/next_hop.h"
#include "common/clock.h"

namespace prov::queue {

constexpr size_t kMostDeliveries = 200;  // at once, to all next hops
// What comes by itself in seconds (a host that registers, a view that is a little behind) is waited for
// from here on, doubling.
constexpr std::chrono::milliseconds kSoon{500};
constexpr std::chrono::seconds kHopRest{60};  // of a next hop that did not answer
// So long a host of ours may be behind our own view, and its "unknown" is not final.
constexpr std::chrono::minutes kViewLag{5};

// A queue may be long, and its memory not: idle messages beyond so many are on disk alone, but for their ids
// and times, and are read again when their time comes.
constexpr size_t kMostInMemory = 20'000;

// Of messages that wait for one hop, at hand; others come when some of them are gone.
constexpr size_t kMostJobsOfHop = 1000;

struct RunnerOptions {
  std::string hostname;  // in notifications
  RetrySchedule retry;
  std::chrono::milliseconds delay_notice{0};  // senders are told of mail that waits so long; 0: never
  size_t most_in_memory = kMostInMemory;
  TraceLog* trace = nullptr;  // what becomes of mail; null: in the log alone
};

// Belongs to one event loop, but for Accept. All it refers to must outlive it; it must outlive its own work:
// Stop, then wait until active() is 0 or the loop has ended.
class Runner {
 public:
  Runner(asio::any_io_executor executor, Spool& spool, net::BlockingPool& pool, const route::NextHops& hops,
         Transport& transport, RunnerOptions options, const Clock& clock);
  ~Runner();

  // Begins. What earlier processes left is read beside that, in pieces: it may be a million messages, and no
  // new one waits for them.
  absl::Status Start();
  // A message that was committed to the spool. Its first attempt goes before all others. Thread-safe.
  void Accept(StoredMessage message);
  // Begins no more deliveries.
  void Stop();

  size_t active() const { return active_; }                             // deliveries under way
  size_t messages() const { return entries_.size() + parked_.size(); }  // not finished, as far as known
  bool resuming() const { return resuming_; }                           // still reads what was left

  // What an operator asks (runner_control.cc). A message that is being delivered may get there all the same.

  // Messages that match, in the order of their ids from `after` on. Looks at so many only that the loop is
  // not held up: sets `after` for the next call, and empties it at the end.
  asio::awaitable<std::vector<StoredMessage>> List(const Selection& selection, std::string& after);

  enum class Action {
    kHold,     // no more attempts, and no giving up either, until released; survives a restart
    kRelease,  // due at once
    kDrop,     // removed, and nobody is told
    kFlush,    // due at once, though its hop is at rest
  };
  struct Change {
    Action action = Action::kFlush;
    Selection selection;
    std::string by;         // who asks, for log and trace
    bool rehearse = false;  // only count
  };
  struct Changed {
    uint64_t matched = 0;
    uint64_t changed = 0;  // were not so already
  };
  asio::awaitable<absl::StatusOr<Changed>> Apply(Change change);

 private:
  struct Entry;
  struct Job;
  struct Hop;
  struct Result;
  using EntryPtr = std::shared_ptr<Entry>;

  asio::awaitable<void> Resume(std::shared_ptr<SpoolScan> scan);
  void Add(StoredMessage message, bool fresh);
  // Of messages that an operator means: those in memory, and those that were read for him.
  class Pin;
  struct Found {
    std::vector<Pin> entries;
    std::vector<StoredMessage> parked;
  };
  asio::awaitable<Found> Select(const Selection& selection, std::string& after);
  std::vector<std::string> Look(const Selection& selection, std::string& after, Found& found) const;
  asio::awaitable<std::vector<StoredMessage>> Load(std::vector<std::string> ids);
  void ParkIfMany(const EntryPtr& entry);
  EntryPtr Unpark(StoredMessage message);
  asio::awaitable<EntryPtr> Take(std::string id);
  asio::awaitable<absl::Status> ApplyTo(const Change& change, std::vector<Pin> entries, Changed& result);
  asio::awaitable<absl::Status> Hold(const std::vector<Pin>& entries, bool held);
  asio::awaitable<absl::Status> Drop(const std::vector<Pin>& entries);
  void Flush(const EntryPtr& entry);
  bool IsCrowded(const std::string& hop) const;
  void PutOff(const EntryPtr& entry, const std::vector<size_t>& recipients);
  void Unplan(Entry& entry);
  asio::awaitable<bool> LiesThere(const std::string& id);
  asio::awaitable<void> Schedule();
  asio::awaitable<void> Dispatch(EntryPtr entry);
  void Enqueue(Job job);
  // One more for the hop's jobs, if there may be one.
  void StartWorker(const std::shared_ptr<Hop>& hop);
  void EndWorker(const std::shared_ptr<Hop>& hop);
  void ForgetHops();
  asio::awaitable<void> Work(std::shared_ptr<Hop> hop);
  asio::awaitable<std::vector<Result>> Attempt(Hop& hop, const Job& job);
  asio::awaitable<void> Settle(EntryPtr entry, std::vector<Result> results);
  void Judge(const Entry& entry, Result& result) const;
  asio::awaitable<void> Notify(EntryPtr entry, std::vector<Result>& results);
  asio::awaitable<bool> NotifyOf(const Entry& entry, DsnAction action, const std::vector<Report>& reports);
  asio::awaitable<void> NotifyOfDelay(EntryPtr entry);
  absl::Status WriteNotification(const Entry& entry, DsnAction action, const std::vector<Report>& reports,
                                 StoredMessage* stored);
  asio::awaitable<void> Record(EntryPtr entry, const std::vector<Result>& results);
  static bool LeavesNothing(const Entry& entry, const std::vector<Result>& results);
  asio::awaitable<void> Finish(EntryPtr entry);
  asio::awaitable<void> RemoveDone();
  void SyncSoon();
  asio::awaitable<void> SyncRemovals();
  void Plan(const EntryPtr& entry);
  bool IsDue(Time due, Time now) const;
  std::chrono::milliseconds JitterAfterRest();
  Time DueAfter(uint32_t attempts, bool soon);
  double Chance();

  const asio::any_io_executor executor_;
  Spool& spool_;
  net::BlockingPool& pool_;
  const route::NextHops& hops_;
  Transport& transport_;
  const RunnerOptions options_;
  const Clock& clock_;
  asio::steady_timer timer_, sync_timer_;
  std::mt19937 random_;
  bool stopped_ = false;
  bool resuming_ = false;
  bool sync_planned_ = false, removing_ = false;
  size_t active_ = 0;
  size_t workers_ = 0;
  struct Parked {
    Time planned;  // its place in planned_; the epoch: none
    std::chrono::steady_clock::time_point flushed;
    bool held = false;
    uint64_t version = 0;  // another one each time that it is parked
  };
  uint64_t parkings_ = 0;
  std::map<std::string, EntryPtr> entries_;         // by id
  std::map<std::string, Parked> parked_;            // likewise; none is in both
  std::set<std::pair<Time, std::string>> planned_;  // time and id
  std::map<std::string, std::shared_ptr<Hop>> by_hop_;
  size_t forget_hops_at_ = 0;                 // as many hops
  std::vector<EntryPtr> done_;                // to be removed
  std::deque<std::shared_ptr<Hop>> waiting_;  // for their turn
};

}  // namespace prov::queue
