#include "agents/mail/pop3/proxy_session.h"

#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <optional>
#include <utility>

#include "agents/mail/net/connector.h"
#include "agents/mail/net/session_tls.h"
#include "agents/mail/pop3/back_end_login.h"
#include "agents/mail/pop3/machine.h"
#include "agents/mail/pop3/splice.h"
#include "common/log.h"
#include "common/mail_address.h"

namespace prov::pop3 {
namespace {

using std::chrono::steady_clock;

constexpr size_t kMaxBackEndsTried = 3;
// Beyond what the back end allows, so that it is the one to end an idle session.
constexpr std::chrono::milliseconds kIdleMargin = std::chrono::minutes(1);

class ProxySession {
 public:
  ProxySession(std::unique_ptr<net::Connection> client, ProxyContext& context)
      : client_(std::move(client)),
        context_(context),
        machine_(context.hostname, context.tls.use),
        deadline_(steady_clock::now() + context.times.login) {}

  asio::awaitable<void> Run() {
    if (context_.tls.use == net::TlsUse::kAlways) {
      const bool secured = co_await Secure();
      if (!secured) co_return;
    }
    while (back_end_ == nullptr) {
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
        co_await LogIn(step);
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

  asio::awaitable<void> LogIn(const Step& step) {
    login_ = FoldAddress(step.login);
    const auto started = steady_clock::now();
    const auto endpoints =
        co_await net::RunBlocking(context_.blocking, [this] { return context_.stores.For(login_); });
    if (!endpoints.ok()) {
      co_await Refuse(endpoints.status(), started);
      co_return;
    }
    for (size_t i = 0; i < endpoints->size() && i < kMaxBackEndsTried; ++i) {
      const bool decided = co_await TryBackEnd((*endpoints)[i], step);
      if (decided) co_return;
    }
    Log(Level::kWarning, "pop3_proxy_no_back_end", {{"login", login_}, {"tried", endpoints->size()}});
    machine_.LoginFailed(LoginFailure::kTemporary);
  }

  // Nowhere to send it: the answer is made here.
  asio::awaitable<void> Refuse(absl::Status reason, steady_clock::time_point started) {
    const bool unknown = absl::IsNotFound(reason);
    Log(Level::kInfo, "login",
        {{"service", "pop3-proxy"},
         {"login", login_},
         {"remote", client_->peer().address},
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
  asio::awaitable<bool> TryBackEnd(const std::string& endpoint, const Step& step) {
    auto connection = co_await net::Connect(endpoint, kConnectTime);
    bool password_sent = false;
    absl::StatusOr<BackEndReply> reply;
    if (connection.ok()) {
      reply = co_await LogInAt(**connection, step.login, step.password, password_sent);
    } else {
      reply = connection.status();
    }
    if (!reply.ok()) {
      Log(Level::kWarning, "pop3_proxy_back_end_failed",
          {{"login", login_}, {"back_end", endpoint}, {"error", reply.status()}});
      if (!password_sent) {
        context_.stores.MarkUnreachable(endpoint);
        co_return false;
      }
      // It may have been counted as a failed attempt, or have taken the mailbox: not twice.
      machine_.LoginFailed(LoginFailure::kTemporary);
    } else if (!reply->accepted) {
      machine_.LoginRefusedWith(reply->words);
    } else {
      endpoint_ = endpoint;
      back_end_ = *std::move(connection);
      // Octets that came behind the back end's reply follow it.
      to_client_ = "+OK " + SanitiseWords(reply->words) + "\r\n" + reply->rest;
    }
    co_return true;
  }

  asio::awaitable<void> HandOver() {
    Log(Level::kInfo, "pop3_proxy_session",
        {{"login", login_}, {"remote", client_->peer().address}, {"back_end", endpoint_}});
    const std::string to_back_end = machine_.TakeRest();
    absl::Status status = co_await client_->Write(to_client_, context_.times.write);
    if (status.ok() && !to_back_end.empty())
      status = co_await back_end_->Write(to_back_end, context_.times.write);
    if (!status.ok()) {
      client_->Close();
      back_end_->Close();
      co_return;
    }
    const Spliced octets =
        co_await Splice(*client_, *back_end_, context_.times.idle + kIdleMargin, context_.times.write);
    Log(Level::kInfo, "pop3_proxy_session_ended",
        {{"login", login_},
         {"remote", client_->peer().address},
         {"back_end", endpoint_},
         {"octets", octets.to_first}});
  }

  const std::unique_ptr<net::Connection> client_;
  ProxyContext& context_;
  Machine machine_;
  const steady_clock::time_point deadline_;
  std::unique_ptr<net::Connection> back_end_;
  std::string endpoint_, login_, to_client_;
};

}  // namespace

asio::awaitable<void> ServeProxySession(std::unique_ptr<net::Connection> client, ProxyContext& context) {
  ProxySession session(std::move(client), context);
  co_await session.Run();
}

}  // namespace prov::pop3
