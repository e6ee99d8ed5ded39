// Blocking work that may hang, as on a file system whose server is away: nobody waits for it without an end,
// and what hangs for one name leaves threads to the others.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "agents/mail/net/blocking.h"

namespace prov::net {

// This long the first in line waits for a thread of a pool before its host counts as cut off.
constexpr std::chrono::milliseconds kTurnPatience = std::chrono::seconds(10);

struct Turn {
  enum class Until { kBegun, kDone };

  std::string name;  // of what it works for: BlockingPool::PostFor
  std::chrono::milliseconds patience = kTurnPatience;
  // kDone: when patience ends the work is left to itself, so it must own what it uses; what it returns then
  // is dropped on its thread. kBegun: it is waited for once it has begun.
  Until until = Until::kBegun;
};

// Runs `work` on the pool, whose Status or StatusOr is returned on the coroutine's own executor; UNAVAILABLE
// when patience ends before.
template <typename Work>
asio::awaitable<std::invoke_result_t<Work>> RunInTurn(BlockingPool& pool, Turn turn, Work work) {
  using Result = std::invoke_result_t<Work>;
  const auto shared = std::make_shared<Work>(std::move(work));
  const auto decided = std::make_shared<std::atomic<bool>>(false);  // which of the two answers
  const bool until_done = turn.until == Turn::Until::kDone;
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, turn.patience);
  const auto start = [&](std::function<void(Result)> done) {
    timer.async_wait([decided, done](const std::error_code& error) {
      if (!error && !decided->exchange(true)) done(absl::UnavailableError("the storage takes too long"));
    });
    pool.PostFor(turn.name, [shared, decided, until_done, done = std::move(done)] {
      if (!until_done) {
        if (!decided->exchange(true)) done((*shared)());
        return;
      }
      if (*decided) return;
      Result result = (*shared)();
      if (!decided->exchange(true)) done(std::move(result));
    });
  };
  Result result = co_await FromCallback<Result>(start);
  timer.cancel();
  co_return result;
}

}  // namespace prov::net
