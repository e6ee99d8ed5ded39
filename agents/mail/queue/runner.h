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
#include "agents/mail/net/blocking.h"
#include "agents/mail/queue/message_format.h"
#include "agents/mail/queue/retry.h"
#include "agents/mail/queue/spool.h"
#include "agents/mail/queue/transport.h"
#include "agents/mail/route/next_hop.h"
#include "common/clock.h"

namespace prov::queue {

constexpr size_t kConnectionsPerHop = 5;
// What comes by itself in seconds (a host that registers, a view that is a little behind) is waited for
// from here on, doubling.
constexpr std::chrono::milliseconds kSoon{500};
constexpr std::chrono::seconds kHopRest{60};  // of a next hop that did not answer
// So long a host of ours may be behind our own view, and its "unknown" is not final.
constexpr std::chrono::minutes kViewLag{5};

struct RunnerOptions {
  std::string hostname;  // in notifications
  RetrySchedule retry;
};

// Belongs to one event loop. All it refers to must outlive it; it must outlive its own work: Stop, then wait
// until active() is 0 or the loop has ended.
class Runner {
 public:
  Runner(asio::any_io_executor executor, Spool& spool, net::BlockingPool& pool, const route::NextHops& hops,
         Transport& transport, RunnerOptions options, const Clock& clock);
  ~Runner();

  // Reads what earlier processes left (blocks), and begins.
  absl::Status Start();
  // A message that was committed to the spool.
  void Accept(StoredMessage message);
  // Begins no more deliveries.
  void Stop();

  size_t active() const { return active_; }            // deliveries under way
  size_t messages() const { return entries_.size(); }  // not finished

 private:
  struct Entry;
  struct Job;
  struct Hop;
  struct Result;
  using EntryPtr = std::shared_ptr<Entry>;

  asio::awaitable<void> Schedule();
  asio::awaitable<void> Dispatch(EntryPtr entry);
  void Enqueue(Job job);
  asio::awaitable<void> Work(std::shared_ptr<Hop> hop);
  asio::awaitable<std::vector<Result>> Attempt(Hop& hop, const Job& job);
  asio::awaitable<void> Settle(EntryPtr entry, std::vector<Result> results);
  void Judge(const Entry& entry, Result& result) const;
  asio::awaitable<void> Notify(EntryPtr entry, std::vector<Result>& results);
  absl::Status WriteNotification(const Entry& entry, const std::vector<Result>& failed,
                                 StoredMessage* stored);
  asio::awaitable<void> Record(EntryPtr entry, const std::vector<Result>& results);
  asio::awaitable<void> Finish(EntryPtr entry);
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
  asio::steady_timer timer_;
  std::mt19937 random_;
  bool stopped_ = false;
  size_t active_ = 0;
  std::map<std::string, EntryPtr> entries_;         // by id
  std::set<std::pair<Time, std::string>> planned_;  // time and id
  std::map<std::string, std::shared_ptr<Hop>> by_hop_;
};

}  // namespace prov::queue
