// A few threads for what must not block a gRPC callback thread, with a timer.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

namespace prov::api {

// Thread-safe. Tasks run in no order, several at a time; they must not throw.
class Workers {
 public:
  explicit Workers(size_t threads);
  // As Stop.
  ~Workers();

  // After Stop both do nothing, and the task is destroyed.
  void Post(std::function<void()> task);
  void PostAfter(std::chrono::milliseconds delay, std::function<void()> task);

  // Runs what is ready, drops what is delayed, joins. Not on a worker.
  void Stop();

 private:
  using Clock = std::chrono::steady_clock;
  void Run();

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::deque<std::function<void()>> ready_;
  std::multimap<Clock::time_point, std::function<void()>> later_;
  std::vector<std::thread> threads_;
};

// For the tasks of an object that may end before the workers do.
class TaskGate {
 public:
  // A task that does nothing once the gate is closed.
  std::function<void()> Wrap(std::function<void()> task) const;
  // Returns when no wrapped task runs, nor ever will. Not from within one.
  void Close();

 private:
  struct State {
    std::shared_mutex mutex;
    bool open = true;
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace prov::api
