#include "agents/mail/pop3/pop3_server.h"

#include <fmt/format.h>

#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <utility>

#include "agents/mail/maildir/mailbox.h"
#include "agents/mail/pop3/limits.h"
#include "agents/mail/pop3/machine.h"
#include "agents/mail/pop3/multiline.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::pop3 {
namespace {

constexpr char kPamService[] = "prov-pop3";

class Session {
 public:
  Session(const Pop3ServerOptions& options, auth::Authenticator& authenticator, net::BlockingPool& pool,
          std::unique_ptr<net::Connection> connection)
      : options_(options),
        authenticator_(authenticator),
        pool_(pool),
        connection_(std::move(connection)),
        machine_(options.hostname) {}

  asio::awaitable<void> Run() {
    for (;;) {
      Step step = machine_.Next();
      if (step.kind == Step::Kind::kClose) break;
      if (!co_await Take(step)) break;
    }
    // The lock ends with the mailbox, which is closed off the loop.
    co_await net::RunBlocking(pool_, [this] { mailbox_.reset(); });
  }

 private:
  // False when the session is over.
  asio::awaitable<bool> Take(Step& step) {
    switch (step.kind) {
      case Step::Kind::kNeedInput:
        co_return co_await ReadInput();
      case Step::Kind::kOutput:
        co_return (co_await connection_->Write(step.output, kWritePatience)).ok();
      case Step::Kind::kLogin:
        co_await LogIn(step);
        co_return true;
      case Step::Kind::kSend:
        co_return co_await Send(step);
      case Step::Kind::kRemove:
        co_await Remove(step);
        co_return true;
      case Step::Kind::kClose:
        break;
    }
    co_return false;
  }

  asio::awaitable<bool> ReadInput() {
    const auto octets = co_await connection_->ReadIdle(mailbox_ ? std::chrono::milliseconds(kIdlePatience)
                                                                : std::chrono::milliseconds(kLoginPatience));
    if (octets.ok()) machine_.Input(*octets);
    co_return octets.ok();
  }

  asio::awaitable<void> LogIn(Step& step) {
    const auto start = std::chrono::steady_clock::now();
    auth::Attempt attempt{kPamService, step.login, std::move(step.password), connection_->peer().address};
    const auth::Verdict verdict = co_await net::FromCallback<auth::Verdict>(
        [&](auto done) { authenticator_.Authenticate(std::move(attempt), std::move(done)); });
    if (verdict.outcome != auth::Outcome::kOk) {
      // All reasons for a refusal take the same time.
      asio::steady_timer hold(co_await asio::this_coro::executor, start + verdict.hold);
      std::error_code ignored;
      co_await hold.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      machine_.LoginFailed(verdict.outcome == auth::Outcome::kTemporaryFailure ? LoginFailure::kTemporary
                                                                               : LoginFailure::kRefused);
      co_return;
    }
    auto opened = co_await net::RunBlocking(
        pool_, [&] { return maildir::Mailbox::Open(options_.maildir_root, verdict.mailbox_id); });
    if (!opened.ok()) {
      Log(Level::kWarning, "mailbox_unavailable",
          {{"mailbox", verdict.mailbox_id}, {"error", opened.status()}});
      machine_.LoginFailed(absl::IsAborted(opened.status()) ? LoginFailure::kInUse
                                                            : LoginFailure::kTemporary);
      co_return;
    }
    mailbox_ = *std::move(opened);
    mailbox_id_ = verdict.mailbox_id;
    Log(Level::kInfo, "pop3_session",
        {{"mailbox", mailbox_id_},
         {"peer", connection_->peer().address},
         {"messages", mailbox_->messages().size()}});
    machine_.LoggedIn(mailbox_->messages());
  }

  asio::awaitable<bool> Send(const Step& step) {
    auto reader = co_await net::RunBlocking(pool_, [&] { return mailbox_->OpenMessage(step.index); });
    if (!reader.ok()) {
      machine_.MessageGone(!absl::IsNotFound(reader.status()));
      co_return true;
    }
    std::string out = machine_.Sending(step);
    Multiline multiline(step.body_lines);
    for (bool more = true; more;) {
      const auto piece = co_await net::RunBlocking(pool_, [&] { return (*reader)->Read(); });
      if (!piece.ok()) {
        // In the middle there is no way to say -ERR: only a closed connection is not taken for the whole
        // message.
        Log(Level::kError, "message_unreadable", {{"mailbox", mailbox_id_}, {"error", piece.status()}});
        connection_->Close();
        co_return false;
      }
      more = !piece->empty() && multiline.Encode(*piece, out);
      if (!more) multiline.Finish(out);
      if (!(co_await connection_->Write(out, kWritePatience)).ok()) co_return false;
      out.clear();
    }
    co_return true;
  }

  asio::awaitable<void> Remove(const Step& step) {
    const absl::Status status =
        co_await net::RunBlocking(pool_, [&] { return mailbox_->Remove(step.indices); });
    Log(status.ok() ? Level::kInfo : Level::kError, "messages_removed",
        {{"mailbox", mailbox_id_}, {"messages", step.indices.size()}, {"error", status}});
    machine_.Removed(status.ok());
  }

  const Pop3ServerOptions& options_;
  auth::Authenticator& authenticator_;
  net::BlockingPool& pool_;
  const std::unique_ptr<net::Connection> connection_;
  Machine machine_;
  std::unique_ptr<maildir::Mailbox> mailbox_;
  std::string mailbox_id_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<net::Listener>> StartPop3Server(const asio::any_io_executor& executor,
                                                               Pop3ServerOptions options,
                                                               auth::Authenticator& authenticator,
                                                               net::BlockingPool& pool) {
  net::ListenOptions listen;
  listen.address = options.address;
  listen.protocol = "pop3";
  // A proxy in front of us brings everybody from one address.
  listen.most_per_address = listen.most_connections;
  listen.busy_reply = "-ERR [SYS/TEMP] too many connections, try again later\r\n";
  const auto shared = std::make_shared<const Pop3ServerOptions>(std::move(options));
  return net::Listener::Start(
      executor, std::move(listen),
      [shared, &authenticator, &pool](std::unique_ptr<net::Connection> connection) -> asio::awaitable<void> {
        // Named, for a lambda's captures are gone once it has returned the coroutine; the frame keeps these.
        const auto kept = shared;
        Session session(*kept, authenticator, pool, std::move(connection));
        co_await session.Run();
      });
}

}  // namespace prov::pop3
