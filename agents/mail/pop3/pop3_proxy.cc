#include "agents/mail/pop3/pop3_proxy.h"

#include <fmt/format.h>

#include <algorithm>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <utility>
#include <vector>

#include "agents/mail/net/spawn.h"
#include "agents/mail/pop3/back_end.h"
#include "agents/mail/pop3/limits.h"
#include "agents/mail/pop3/machine.h"
#include "agents/mail/pop3/store_choice.h"
#include "common/log.h"
#include "common/mail_address.h"
#include "common/status.h"

namespace prov::pop3 {
namespace {

struct Shared {
  Pop3ProxyOptions options;
  state::StateReader& state;
  auth::FailureDelay& delay;
  net::BlockingPool& pool;
};

using ConnectionPtr = std::shared_ptr<net::Connection>;

// One direction of a spliced session, until either side ends.
asio::awaitable<void> Relay(ConnectionPtr from, ConnectionPtr to) {
  for (;;) {
    const auto octets = co_await from->Read(kIdlePatience);
    if (!octets.ok() || !(co_await to->Write(*octets, kWritePatience)).ok()) break;
  }
  from->Close();
  to->Close();
}

class Session {
 public:
  Session(const Shared& shared, ConnectionPtr client)
      : shared_(shared), client_(std::move(client)), machine_(shared.options.hostname) {}

  asio::awaitable<void> Run() {
    for (;;) {
      Step step = machine_.Next();
      if (step.kind == Step::Kind::kNeedInput) {
        const auto octets = co_await client_->ReadIdle(kLoginPatience);
        if (!octets.ok()) co_return;
        machine_.Input(*octets);
      } else if (step.kind == Step::Kind::kOutput) {
        if (!(co_await client_->Write(step.output, kWritePatience)).ok()) co_return;
      } else if (step.kind == Step::Kind::kLogin) {
        if (co_await LogIn(step)) co_return;
      } else {
        co_return;
      }
    }
  }

 private:
  // True when the session was handed over, and has ended.
  asio::awaitable<bool> LogIn(Step& step) {
    const auto start = std::chrono::steady_clock::now();
    const std::string login = FoldAddress(step.login);
    const auto stores =
        co_await net::RunBlocking(shared_.pool, [&] { return StoresFor(shared_.state, login); });
    if (absl::IsNotFound(stores.status())) {
      // As long as a wrong password takes at a store.
      asio::steady_timer hold(co_await asio::this_coro::executor,
                              start + shared_.delay.AfterFailure(client_->peer().address));
      std::error_code ignored;
      co_await hold.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      machine_.LoginFailed(LoginFailure::kRefused);
      co_return false;
    }
    if (stores.ok()) {
      for (const std::string& store : *stores) {
        auto login_at = co_await LogInAtBackEnd(store, step.login, step.password.Reveal());
        if (!login_at.ok()) {
          Log(Level::kWarning, "store_unreachable", {{"store", store}, {"error", login_at.status()}});
          continue;
        }
        if (login_at->connection == nullptr) {
          machine_.LoginRefusedWith(login_at->words);
          co_return false;
        }
        Log(Level::kInfo, "pop3_proxied",
            {{"login", login}, {"store", store}, {"peer", client_->peer().address}});
        co_await Splice(*std::move(login_at));
        co_return true;
      }
    }
    machine_.LoginFailed(LoginFailure::kTemporary);
    co_return false;
  }

  asio::awaitable<void> Splice(BackEndLogin store) {
    const std::string greeting = fmt::format("+OK {}\r\n{}", SanitiseWords(store.words), store.rest);
    ConnectionPtr back_end = std::move(store.connection);
    // What the client sent behind PASS belongs to the store.
    const std::string rest = machine_.TakeRest();
    if (!(co_await client_->Write(greeting, kWritePatience)).ok()) co_return;
    if (!rest.empty() && !(co_await back_end->Write(rest, kWritePatience)).ok()) co_return;
    net::Spawn(co_await asio::this_coro::executor, "pop3_proxy", Relay(back_end, client_));
    co_await Relay(client_, back_end);
  }

  const Shared& shared_;
  const ConnectionPtr client_;
  Machine machine_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<net::Listener>> StartPop3Proxy(const asio::any_io_executor& executor,
                                                              Pop3ProxyOptions options,
                                                              state::StateReader& state,
                                                              auth::FailureDelay& delay,
                                                              net::BlockingPool& pool) {
  net::ListenOptions listen;
  listen.address = options.address;
  listen.protocol = "pop3_proxy";
  listen.busy_reply = "-ERR [SYS/TEMP] too many connections, try again later\r\n";
  const auto shared = std::make_shared<const Shared>(Shared{std::move(options), state, delay, pool});
  return net::Listener::Start(executor, std::move(listen),
                              [shared](std::unique_ptr<net::Connection> connection) -> asio::awaitable<void> {
                                const auto kept = shared;
                                Session session(*kept, ConnectionPtr(std::move(connection)));
                                co_await session.Run();
                              });
}

}  // namespace prov::pop3
