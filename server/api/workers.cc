#include "server/api/workers.h"

#include <utility>

namespace prov::api {

Workers::Workers(size_t threads) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

Workers::~Workers() { Stop(); }

void Workers::Post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    ready_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void Workers::PostAfter(std::chrono::milliseconds delay, std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    later_.emplace(Clock::now() + delay, std::move(task));
  }
  wake_.notify_one();  // whoever wakes waits anew, for the earliest
}

void Workers::Stop() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads) thread.join();
  // Tasks may own what posts again when destroyed: not under the lock.
  std::multimap<Clock::time_point, std::function<void()>> later;
  const std::lock_guard lock(mutex_);
  later.swap(later_);
}

void Workers::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_ || !ready_.empty()) {
    const Clock::time_point now = Clock::now();
    while (!stopping_ && !later_.empty() && later_.begin()->first <= now) {
      ready_.push_back(std::move(later_.begin()->second));
      later_.erase(later_.begin());
    }
    if (ready_.empty()) {
      if (later_.empty()) {
        wake_.wait(lock);
      } else {
        const Clock::time_point due = later_.begin()->first;
        wake_.wait_until(lock, due);
      }
      continue;
    }
    std::function<void()> task = std::move(ready_.front());
    ready_.pop_front();
    // Several may have become due at once.
    if (!ready_.empty()) wake_.notify_one();
    lock.unlock();
    task();
    task = nullptr;  // what it owns is destroyed without the lock
    lock.lock();
  }
}

std::function<void()> TaskGate::Wrap(std::function<void()> task) const {
  return [state = state_, task = std::move(task)] {
    const std::shared_lock lock(state->mutex);
    if (state->open) task();
  };
}

void TaskGate::Close() {
  const std::lock_guard lock(state_->mutex);
  state_->open = false;
}

}  // namespace prov::api
