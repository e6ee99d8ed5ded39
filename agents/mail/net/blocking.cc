#include "agents/mail/net/blocking.h"

#include <algorithm>
#include <asio/thread_pool.hpp>
#include <deque>
#include <mutex>
#include <unordered_map>

namespace prov::net {

namespace {

using std::chrono::steady_clock;

constexpr size_t kShareOfOneName = 4;  // the threads are divided by it

// Work for one name: how much has been posted and is not done, and what waits for that.
struct Named {
  size_t posted = 0;
  std::deque<std::function<void()>> line;
};

}  // namespace

struct BlockingPool::Threads {
  explicit Threads(size_t count) : most_of_one(std::max<size_t>(1, count / kShareOfOneName)), pool(count) {}

  void Post(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex);
      waiting.push_back(steady_clock::now());
    }
    asio::post(pool, [this, work = std::move(work)] {
      {
        const std::lock_guard lock(mutex);
        waiting.pop_front();
      }
      work();
    });
  }

  void PostNamed(const std::string& name, std::function<void()> work) {
    Post([this, name, work = std::move(work)] {
      work();
      End(name);
    });
  }

  void End(const std::string& name) {
    std::function<void()> next;
    {
      const std::lock_guard lock(mutex);
      const auto named = by_name.find(name);
      if (named->second.line.empty()) {
        if (--named->second.posted == 0) by_name.erase(named);
        return;
      }
      next = std::move(named->second.line.front());
      named->second.line.pop_front();
    }
    PostNamed(name, std::move(next));
  }

  const size_t most_of_one;
  mutable std::mutex mutex;                      // of these two
  std::deque<steady_clock::time_point> waiting;  // since when, what no thread has begun
  std::unordered_map<std::string, Named> by_name;
  asio::thread_pool pool;  // ends first
};

BlockingPool::BlockingPool(size_t threads) : threads_(std::make_unique<Threads>(threads)) {}

BlockingPool::~BlockingPool() { Join(); }

void BlockingPool::Post(std::function<void()> work) { threads_->Post(std::move(work)); }

void BlockingPool::PostFor(const std::string& name, std::function<void()> work) {
  {
    const std::lock_guard lock(threads_->mutex);
    Named& named = threads_->by_name[name];
    if (named.posted == threads_->most_of_one) return named.line.push_back(std::move(work));
    ++named.posted;
  }
  threads_->PostNamed(name, std::move(work));
}

steady_clock::duration BlockingPool::Waiting() const {
  const std::lock_guard lock(threads_->mutex);
  if (threads_->waiting.empty()) return steady_clock::duration::zero();
  return steady_clock::now() - threads_->waiting.front();
}

void BlockingPool::Join() { threads_->pool.join(); }

}  // namespace prov::net
