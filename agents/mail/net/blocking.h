// What blocks (disk, LMDB, PAM) runs beside the event loop, and the coroutine waits without blocking it.
//
//   const absl::Status status = co_await RunBlocking(pool, [&] { return file.Sync(); });
#pragma once

#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace prov::net {

// Threads for work that blocks. Join it before the event loop is destroyed: work may refer to coroutines.
class BlockingPool {
 public:
  explicit BlockingPool(size_t threads);
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;
  // Joins.
  ~BlockingPool();

  // Thread-safe. Work waits in line when all threads are busy.
  void Post(std::function<void()> work);
  // As Post; but of one name a quarter of the threads work at a time, so that what hangs there leaves the
  // others.
  void PostFor(const std::string& name, std::function<void()> work);
  // How long what is first in line has waited for a thread; zero: there is no line. Thread-safe.
  std::chrono::steady_clock::duration Waiting() const;
  // Waits for all work that was posted, then ends the threads. Work posted later is never done.
  void Join();

 private:
  struct Threads;
  const std::unique_ptr<Threads> threads_;
};

// Runs `start(done)` at once, and waits until `done(value)` is called, once, on any thread. The loop must
// outlive that call.
template <typename T, typename Start>
asio::awaitable<T> FromCallback(Start start) {
  std::optional<T> result;
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      [&result, &start](auto handler) {
        using Handler = decltype(handler);
        auto executor = asio::get_associated_executor(handler);
        auto waiting = std::make_shared<Handler>(std::move(handler));
        auto guard = std::make_shared<asio::executor_work_guard<decltype(executor)>>(executor);
        start(std::function<void(T)>([waiting, guard, executor, &result](T value) {
          result.emplace(std::move(value));
          asio::post(executor, [waiting] { std::move (*waiting)(); });
          guard->reset();
        }));
      },
      asio::use_awaitable);
  co_return std::move(*result);
}

// Runs `work` on the pool and returns what it returned, back on the coroutine's own executor. `work` must not
// throw.
template <typename Work>
asio::awaitable<std::invoke_result_t<Work>> RunBlocking(BlockingPool& pool, Work work) {
  using Result = std::invoke_result_t<Work>;
  if constexpr (std::is_void_v<Result>) {
    co_await FromCallback<bool>([&pool, &work](std::function<void(bool)> done) {
      pool.Post([&work, done = std::move(done)] {
        work();
        done(true);
      });
    });
  } else {
    co_return co_await FromCallback<Result>([&pool, &work](std::function<void(Result)> done) {
      pool.Post([&work, done = std::move(done)] { done(work()); });
    });
  }
}

}  // namespace prov::net
