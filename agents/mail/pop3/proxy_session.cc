#include "agents/mail/pop3/proxy_session.h"

#include <algorithm>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "agents/mail/net/session_tls.h"
#include "agents/mail/pop3/back_end_login.h"
#include "agents/mail/pop3/machine.h"
#include "agents/mail/pop3/splice.h"
#include "common/log.h"
#include "common/mail_address.h"
#include "common/random.h"

namespace prov::pop3 {
namespace {

using std::chrono::steady_clock;

constexpr size_t kMaxBackEndsTried = 3;
constexpr size_t kSessionNameOctets = 8;
// Beyond what the back end allows, so that it is the one to end an idle session.
constexpr std::chrono::milliseconds kIdleMargin = std::chrono::minutes(1);

class ProxySession {
 public:
  ProxySession(std::unique_ptr<net::Connection> client, ProxyContext& context)
      : client_(std::move(client)),
        context_(context),
        machine_(context.hostname, context.tls.use),
        deadline_(steady_clock::now() + context.times.login) {
    user_.client = client_->peer();
    user_.session = RandomHex(kSessionNameOctets);
  }

  asio::awaitable<void> Run() {
    if (context_.tls.use == net::TlsUse::kAlways) {
      const bool secured = co_await Secure();
      if (!secured) co_return;
    }
    while (!back_end_) {
      const bool goes_on = co_await TakeStep();
      if (!goes_on) {
        client_->Close();
        co_return;
      }
    }
    co_await HandOver();
  }

 private:
  // False when the session is over. After a login that succeeded back_end_ is set.
  asio::awaitable<bool> TakeStep() {
    Step step = machine_.Next();
    switch (step.kind) {
      case Step::Kind::kOutput:
        co_return co_await WriteOut(std::move(step.output));
      case Step::Kind::kNeedInput:
        co_return co_await ReadMore();
      case Step::Kind::kLogin:
        co_await LogIn(std::move(step));
        co_return true;
      case Step::Kind::kStartTls:
        co_return co_await Secure();
      default:  // kClose; the machine is never told of a mailbox, so it asks for nothing of one
        co_return false;
    }
  }

  asio::awaitable<bool> Secure() {
    const absl::Status shaken = co_await net::StartSessionTls(*client_, context_.tls, "pop3-proxy");
    if (shaken.ok()) machine_.Secured();
    co_return shaken.ok();
  }

  asio::awaitable<bool> WriteOut(std::string output) {
    const absl::Status written = co_await client_->Write(output, context_.times.write);
    co_return written.ok();
  }

  asio::awaitable<bool> ReadMore() {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - steady_clock::now());
    if (left.count() <= 0) co_return false;
    const auto octets = co_await client_->ReadIdle(left);
    if (octets.ok()) machine_.Input(*octets);
    co_return octets.ok();
  }

  asio::awaitable<void> LogIn(Step step) {
    user_.login = std::move(step.login);
    user_.password = std::move(step.password);
    login_ = FoldAddress(user_.login);
    const auto started = steady_clock::now();
    const absl::StatusOr<std::vector<Store>> stores = context_.stores.For(login_);
    if (stores.ok()) {
      co_await TryStores(*stores);
    } else {
      co_await Refuse(stores.status(), started);
    }
    user_.password = auth::Secret();
  }

  // The best one that answers decides; who has been sent the password is not followed by another.
  asio::awaitable<void> TryStores(const std::vector<Store>& stores) {
    const size_t tried = std::min(stores.size(), kMaxBackEndsTried);
    for (size_t i = 0; i < tried; ++i) {
      const bool decided = co_await TryStore(stores[i]);
      if (decided) co_return;
    }
    Log(Level::kWarning, "pop3_proxy_no_back_end",
        {{"login", login_}, {"session", user_.session}, {"tried", tried}});
    machine_.LoginFailed(LoginFailure::kTemporary);
  }

  // Nowhere to send it: the answer is made here, and held back as a store would.
  asio::awaitable<void> Refuse(absl::Status reason, steady_clock::time_point started) {
    const bool unknown = absl::IsNotFound(reason);
    Log(Level::kInfo, "login",
        {{"service", "pop3-proxy"},
         {"login", login_},
         {"remote", client_->peer().address},
         {"session", user_.session},
         {"outcome", unknown ? "wrong_or_unknown" : "temporary_failure"},
         {"detail", reason}});
    if (unknown) {
      asio::steady_timer timer(co_await asio::this_coro::executor,
                               started + context_.delay.AfterFailure(client_->peer().address));
      co_await timer.async_wait(asio::use_awaitable);
    }
    machine_.LoginFailed(unknown ? LoginFailure::kRefused : LoginFailure::kTemporary);
  }

  // False: try the next one. Otherwise the machine has its answer, or back_end_ is set.
  asio::awaitable<bool> TryStore(const Store& store) {
    bool password_sent = false;
    absl::StatusOr<BackEndSession> session =
        co_await LogInAt(context_.back_ends, store, user_, password_sent);
    if (!session.ok()) {
      Log(Level::kWarning, "pop3_proxy_back_end_failed",
          {{"login", login_},
           {"session", user_.session},
           {"host", store.host},
           {"back_end", store.endpoint},
           {"password_sent", password_sent},
           {"error", session.status()}});
      context_.stores.MarkUnreachable(store.endpoint);
      // It may have been counted as a failed attempt, or have taken the mailbox: not twice.
      if (password_sent) machine_.LoginFailed(LoginFailure::kTemporary);
      co_return password_sent;
    }
    context_.stores.MarkReachable(store.endpoint);
    if (session->accepted) {
      store_ = store;
      back_end_ = *std::move(session);
    } else {
      Log(Level::kInfo, "pop3_proxy_login_refused",
          {{"login", login_},
           {"remote", client_->peer().address},
           {"session", user_.session},
           {"host", store.host},
           {"words", SanitiseWords(session->words)}});
      machine_.LoginRefusedWith(session->words);
    }
    co_return true;
  }

  asio::awaitable<void> HandOver() {
    Log(Level::kInfo, "pop3_proxy_session",
        {{"login", login_},
         {"remote", client_->peer().address},
         {"session", user_.session},
         {"host", store_.host},
         {"back_end", store_.endpoint}});
    net::Connection& back_end = *back_end_->connection;
    // Octets that came behind the back end's reply follow it.
    const std::string to_client = "+OK " + SanitiseWords(back_end_->words) + "\r\n" + back_end_->rest;
    const std::string to_back_end = machine_.TakeRest();
    absl::Status status = co_await client_->Write(to_client, context_.times.write);
    if (status.ok() && !to_back_end.empty())
      status = co_await back_end.Write(to_back_end, context_.times.write);
    if (!status.ok()) {
      client_->Close();
      back_end.Close();
      co_return;
    }
    const Spliced octets =
        co_await Splice(*client_, back_end, context_.times.idle + kIdleMargin, context_.times.write);
    Log(Level::kInfo, "pop3_proxy_session_ended",
        {{"login", login_},
         {"remote", client_->peer().address},
         {"session", user_.session},
         {"host", store_.host},
         {"octets", octets.to_first}});
  }

  const std::unique_ptr<net::Connection> client_;
  ProxyContext& context_;
  Machine machine_;
  const steady_clock::time_point deadline_;
  std::string login_;  // folded; user_ has it as it was typed
  BackEndUser user_;
  Store store_;                             // of back_end_
  std::optional<BackEndSession> back_end_;  // once logged in
};

}  // namespace

asio::awaitable<void> ServeProxySession(std::unique_ptr<net::Connection> client, ProxyContext& context) {
  ProxySession session(std::move(client), context);
  co_await session.Run();
}

}  // namespace prov::pop3
