#include "agents/mail/auth/held_login.h"

#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <functional>
#include <utility>

#include "agents/mail/net/blocking.h"

namespace prov::auth {

asio::awaitable<Verdict> LogIn(Authenticator& authenticator, Attempt attempt) {
  const auto started = std::chrono::steady_clock::now();
  Verdict verdict = co_await net::FromCallback<Verdict>([&](std::function<void(Verdict)> done) {
    authenticator.Authenticate(std::move(attempt), std::move(done));
  });
  if (verdict.outcome != Outcome::kOk) {
    asio::steady_timer timer(co_await asio::this_coro::executor, started + verdict.hold);
    co_await timer.async_wait(asio::use_awaitable);
  }
  co_return verdict;
}

}  // namespace prov::auth
