// The next hops of a queue: how many deliveries each gets at once, and whose turn it is.
#include <algorithm>
#include <asio/use_awaitable.hpp>
#include <utility>

#include "agents/mail/net/spawn.h"
#include "agents/mail/queue/runner_entry.h"

namespace prov::queue {

using std::chrono::milliseconds;

namespace {

// So many are remembered before it is worth looking for those that can be forgotten.
constexpr size_t kHopsUntouched = 1000;

}  // namespace

bool Runner::IsCrowded(const std::string& hop) const {
  const auto found = by_hop_.find(hop);
  return found != by_hop_.end() && found->second->jobs.size() >= kMostJobsOfHop;
}

void Runner::Enqueue(Job job) {
  ForgetHops();
  std::shared_ptr<Hop>& hop = by_hop_[job.hop.name];
  if (!hop) hop = std::make_shared<Hop>();
  hop->name = job.hop.name;
  if (job.entry->flushed > hop->rests_since) hop->rests_until = {};
  if (job.fresh) {
    hop->jobs.insert(hop->jobs.begin() + static_cast<std::ptrdiff_t>(hop->fresh_jobs), std::move(job));
    ++hop->fresh_jobs;
  } else {
    hop->jobs.push_back(std::move(job));
  }
  StartWorker(hop);
}

void Runner::StartWorker(const std::shared_ptr<Hop>& hop) {
  if (stopped_ || hop->jobs.empty() || hop->workers >= hop->concurrency.limit()) return;
  if (workers_ >= kMostDeliveries) {
    if (!std::exchange(hop->waits, true)) waiting_.push_back(hop);
    return;
  }
  ++hop->workers;
  ++workers_;
  net::Spawn(executor_, "queue_hop", Work(hop), [this, hop] { EndWorker(hop); });
}

void Runner::EndWorker(const std::shared_ptr<Hop>& hop) {
  --hop->workers;
  --workers_;
  const bool others = !waiting_.empty();
  // It left while there was more to do: behind those that wait.
  if (others && !hop->jobs.empty() && !std::exchange(hop->waits, true)) waiting_.push_back(hop);
  while (!waiting_.empty() && workers_ < kMostDeliveries) {
    const std::shared_ptr<Hop> next = std::move(waiting_.front());
    waiting_.pop_front();
    next->waits = false;
    StartWorker(next);
  }
  if (hop->workers == 0 && hop->jobs.empty() && clock_.Monotonic() >= hop->rests_until)
    by_hop_.erase(hop->name);
}

// Those that rest are kept until then; domains that nobody writes to any more are found here.
void Runner::ForgetHops() {
  if (by_hop_.size() < forget_hops_at_) return;
  std::erase_if(by_hop_, [now = clock_.Monotonic()](const auto& one) {
    const Hop& hop = *one.second;
    return hop.workers == 0 && hop.jobs.empty() && now >= hop.rests_until;
  });
  forget_hops_at_ = 2 * by_hop_.size() + kHopsUntouched;
}

asio::awaitable<void> Runner::Work(std::shared_ptr<Hop> hop) {
  while (!stopped_ && !hop->jobs.empty() && hop->workers <= hop->concurrency.limit()) {
    const Job job = std::move(hop->jobs.front());
    hop->jobs.pop_front();
    if (hop->fresh_jobs > 0) --hop->fresh_jobs;
    std::vector<Result> results = co_await Attempt(*hop, job);
    co_await Settle(job.entry, std::move(results));
    StartWorker(hop);  // one more, if it goes well
    if (!waiting_.empty()) co_return;
  }
}

asio::awaitable<std::vector<Runner::Result>> Runner::Attempt(Hop& hop, const Job& job) {
  std::vector<Outcome> outcomes;
  const auto left = std::chrono::ceil<milliseconds>(hop.rests_until - clock_.Monotonic());
  const bool rests = left.count() > 0 || job.entry->Stays();
  if (rests) {
    outcomes.assign(job.recipients.size(),
                    {State::kPending, "450 4.4.1 the next hop did not answer a moment ago"});
  } else {
    DeliveryRequest request;
    request.message = &job.entry->message;
    request.spool = &spool_;
    request.hop = job.hop;
    request.addresses = job.addresses;
    request.recipients = job.recipients;
    ++active_;
    outcomes = co_await transport_.Deliver(request);
    --active_;
    const bool unreachable = !outcomes.empty() && outcomes.front().unreachable;
    const milliseconds rest =
        job.hop.shares_our_view ? kSoon : std::min<milliseconds>(kHopRest, options_.retry.first);
    if (unreachable || (!outcomes.empty() && outcomes.front().reply.starts_with("421"))) {
      hop.concurrency.Failed();
    } else {
      hop.concurrency.Succeeded(hop.workers);
    }
    if (unreachable) {
      hop.rests_since = clock_.Monotonic();
      hop.rests_until = hop.rests_since + rest;
    }
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

}  // namespace prov::queue
