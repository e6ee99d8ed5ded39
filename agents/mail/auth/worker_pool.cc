#include "agents/mail/auth/worker_pool.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "agents/mail/auth/worker_process.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::auth {
namespace {

using Time = std::chrono::steady_clock::time_point;

// An idle worker's thread looks so often whether the worker is still there.
constexpr auto kIdleCheck = std::chrono::seconds(1);

struct Job {
  WorkerRequest request;
  WorkerPool::Done done;
  Time deadline;
};

class ThreadedPool : public WorkerPool {
 public:
  explicit ThreadedPool(Options options)
      : options_(std::move(options)),
        pids_(options_.workers, 0),
        stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    for (size_t i = 0; i < options_.workers; ++i) threads_.emplace_back([this, i] { RunWorker(i); });
    threads_.emplace_back([this] { ExpireQueued(); });
  }

  ~ThreadedPool() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    eventfd_write(stop_.get(), 1);
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    for (Job& job : queue_) job.done(absl::CancelledError("stopping"));
  }

  void Submit(WorkerRequest request, Done done) override {
    {
      const std::lock_guard lock(mutex_);
      if (!stopping_ && queue_.size() < options_.max_queued) {
        const Time deadline = std::chrono::steady_clock::now() + options_.timeout;
        queue_.push_back({std::move(request), std::move(done), deadline});
        changed_.notify_all();
        return;
      }
    }
    done(absl::ResourceExhaustedError("too many logins wait for PAM"));
  }

  std::vector<int> WorkerPids() override {
    const std::lock_guard lock(mutex_);
    std::vector<int> running;
    std::copy_if(pids_.begin(), pids_.end(), std::back_inserter(running), [](int pid) { return pid > 0; });
    return running;
  }

 private:
  // Starts, uses and replaces one worker until the pool stops.
  void RunWorker(size_t index) {
    std::chrono::milliseconds pause = options_.first_restart;
    while (!IsStopping()) {
      auto worker = WorkerProcess::Spawn(options_.program, options_.config_directory);
      if (worker.ok()) {
        SetPid(index, (*worker)->pid());
        if (ServeWith(**worker)) pause = options_.first_restart;
        SetPid(index, 0);
        worker->reset();
      } else {
        Log(Level::kError, "pam_worker_start_failed", {{"error", worker.status()}});
      }
      Rest(pause);
      pause = std::min(pause * 2, options_.longest_restart);
    }
  }

  // Until the worker fails or the pool stops. Whether it has answered anything.
  bool ServeWith(WorkerProcess& worker) {
    bool answered = false;
    for (;;) {
      std::optional<Job> job = NextJob(worker);
      if (!job) return answered;
      auto reply = worker.Ask(job->request, {job->deadline, stop_.get()});
      const absl::Status status = reply.status();
      job->done(std::move(reply));
      answered = answered || status.ok();
      if (status.ok() || absl::IsInvalidArgument(status)) continue;
      if (absl::IsCancelled(status)) return answered;
      Log(Level::kWarning, "pam_worker_failed", {{"pid", worker.pid()}, {"error", status}});
      return answered;
    }
  }

  // Nothing when the pool stops or the idle worker has died. The job goes to a worker known to be alive, so
  // that a worker killed while idle costs nobody a login.
  std::optional<Job> NextJob(WorkerProcess& worker) {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (stopping_ || !worker.IsAlive()) return std::nullopt;
      if (!queue_.empty()) {
        Job job = std::move(queue_.front());
        queue_.pop_front();
        return job;
      }
      changed_.wait_for(lock, kIdleCheck);
    }
  }

  // All jobs get the same time, so the first in the queue is the first to expire. Without this, jobs behind
  // hung workers would be told only when a worker is free.
  void ExpireQueued() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (queue_.empty()) {
        changed_.wait(lock);
        continue;
      }
      const Time deadline = queue_.front().deadline;  // a worker may take the job while we wait for its time
      if (deadline > std::chrono::steady_clock::now()) {
        changed_.wait_until(lock, deadline);
      } else {
        Job job = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        job.done(absl::DeadlineExceededError("no PAM worker was free in time"));
        lock.lock();
      }
    }
  }

  bool IsStopping() {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }

  void SetPid(size_t index, int pid) {
    const std::lock_guard lock(mutex_);
    pids_[index] = pid;
  }

  void Rest(std::chrono::milliseconds pause) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, pause, [this] { return stopping_; });
  }

  const Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> queue_;
  std::vector<int> pids_;
  bool stopping_ = false;
  const FileDescriptor stop_;         // readable once the pool stops
  std::vector<std::thread> threads_;  // last: they use what is above
};

}  // namespace

std::unique_ptr<WorkerPool> WorkerPool::Start(Options options) {
  return std::make_unique<ThreadedPool>(std::move(options));
}

}  // namespace prov::auth
