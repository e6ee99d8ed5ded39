// The event loops of an engine: one for each core, each with a thread of its own.
#pragma once

#include <asio/any_io_executor.hpp>
#include <concepts>
#include <cstddef>
#include <memory>
#include <vector>

namespace prov::net {

// Loops that sessions are shared out among; each session stays on one. A value, cheap to copy.
class Loops {
 public:
  // One alone; implicit, for whoever has an executor has that.
  template <typename Executor>
  requires std::convertible_to<Executor, asio::any_io_executor> Loops(const Executor& only) : all_{only} {}
  // At least one.
  explicit Loops(std::vector<asio::any_io_executor> all) : all_(std::move(all)) {}

  // For what is not a session: listeners, queues, timers.
  const asio::any_io_executor& first() const { return all_.front(); }
  const std::vector<asio::any_io_executor>& all() const { return all_; }

 private:
  std::vector<asio::any_io_executor> all_;
};

// Makes loops and runs them.
class LoopThreads {
 public:
  explicit LoopThreads(size_t count);
  LoopThreads(const LoopThreads&) = delete;
  LoopThreads& operator=(const LoopThreads&) = delete;
  // Not while Run is under way. Destroys the coroutines that are left.
  ~LoopThreads();

  Loops loops() const;
  // Until Stop: the first loop on the caller's thread, the others on their own, which have ended when it
  // returns. Call once.
  void Run();
  // Thread-safe.
  void Stop();

 private:
  struct Contexts;
  const std::unique_ptr<Contexts> contexts_;
};

}  // namespace prov::net
