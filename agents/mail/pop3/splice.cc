#include "agents/mail/pop3/splice.h"

#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

#include "agents/mail/net/blocking.h"
#include "agents/mail/net/spawn.h"

namespace prov::pop3 {
namespace {

using std::chrono::steady_clock;

// While one direction carries a long message the other is silent: only both together say that a session is
// idle, so no single read may time out by itself.
constexpr std::chrono::milliseconds kNoReadLimit = std::chrono::hours(24);

// Shared with the handler of its timer, which may run once more when all is over.
class Splicing : public std::enable_shared_from_this<Splicing> {
 public:
  Splicing(const asio::any_io_executor& executor, net::Connection& first, net::Connection& second,
           std::chrono::milliseconds idle, std::chrono::milliseconds write)
      : first_(first), second_(second), idle_(idle), write_(write), watch_(executor) {}

  // Calls `done` when both directions have ended.
  void Start(const asio::any_io_executor& executor, std::function<void()> done) {
    done_ = std::move(done);
    running_ = 2;
    Watch();
    net::Spawn(executor, "pop3_splice", Pump(first_, second_, counts_.to_second), [this] { Ended(); });
    net::Spawn(executor, "pop3_splice", Pump(second_, first_, counts_.to_first), [this] { Ended(); });
  }

  const Spliced& counts() const { return counts_; }

 private:
  asio::awaitable<void> Pump(net::Connection& from, net::Connection& to, uint64_t& count) {
    while (!over_) {
      const auto octets = co_await from.Read(kNoReadLimit);
      if (!octets.ok()) break;
      last_ = steady_clock::now();
      const absl::Status written = co_await to.Write(*octets, write_);
      if (!written.ok()) break;
      last_ = steady_clock::now();
      count += octets->size();
    }
    Stop();
  }

  void Watch() {
    watch_.expires_at(last_ + idle_);
    watch_.async_wait([self = shared_from_this()](const std::error_code& cancelled) {
      if (cancelled || self->over_) return;
      if (steady_clock::now() < self->last_ + self->idle_) return self->Watch();
      self->Stop();
    });
  }

  void Stop() {
    over_ = true;
    watch_.cancel();
    first_.Close();
    second_.Close();
  }

  // One that failed by an exception ends the others too.
  void Ended() {
    Stop();
    if (--running_ == 0) done_();
  }

  net::Connection& first_;
  net::Connection& second_;
  const std::chrono::milliseconds idle_, write_;
  asio::steady_timer watch_;
  steady_clock::time_point last_ = steady_clock::now();
  Spliced counts_;
  bool over_ = false;
  int running_ = 0;
  std::function<void()> done_;
};

}  // namespace

asio::awaitable<Spliced> Splice(net::Connection& first, net::Connection& second,
                                std::chrono::milliseconds idle, std::chrono::milliseconds write) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto splicing = std::make_shared<Splicing>(executor, first, second, idle, write);
  co_await net::FromCallback<bool>([&](std::function<void(bool)> done) {
    splicing->Start(executor, [done = std::move(done)] { done(true); });
  });
  co_return splicing->counts();
}

}  // namespace prov::pop3
