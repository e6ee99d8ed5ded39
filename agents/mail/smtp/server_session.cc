#include "agents/mail/smtp/server_session.h"

#include <algorithm>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "agents/mail/net/session_tls.h"

namespace prov::smtp {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class Session {
 public:
  Session(net::Connection& connection, SessionOptions options, Handler& handler)
      : connection_(connection),
        protocol_(options.machine.protocol),
        tls_(options.tls),
        machine_(std::move(options.machine)),
        handler_(handler),
        times_(options.times) {}

  asio::awaitable<void> Run() {
    if (tls_.use == net::TlsUse::kAlways) {
      const bool secured = co_await Secure();
      if (!secured) co_return;
    }
    co_await Open();
    for (bool go_on = true; go_on;) go_on = co_await Step();
    handler_.Reset();
  }

 private:
  asio::awaitable<void> Open() {
    const Reply reply = co_await handler_.Connect();
    if (reply.code != 0) {
      machine_.Reject(reply);
      co_return;
    }
    if (protocol_ == Protocol::kSmtp) {
      const absl::StatusOr<std::string_view> early = co_await connection_.Read(times_.greeting_delay);
      if (early.ok()) {
        machine_.Reject({554, "5.5.0", "you spoke before the greeting", true});
        co_return;
      }
    }
    machine_.Greet();
  }

  // False: the session is over.
  asio::awaitable<bool> Step() {
    Event event = machine_.Next();
    if (event.kind != Event::Kind::kNeedInput) went_on_ = true;
    switch (event.kind) {
      case Event::Kind::kNeedInput: {
        const bool flushed = co_await Flush();
        if (!flushed) co_return false;
        const bool read = co_await ReadMore();
        co_return read;
      }
      case Event::Kind::kClose:
        co_await Flush();
        co_return false;
      case Event::Kind::kContent:
        co_await handler_.Content(std::move(event.text));
        co_return true;
      case Event::Kind::kHeaderEnd:
        co_await handler_.HeaderEnd(machine_.facts());
        co_return true;
      case Event::Kind::kMessageEnd: {
        const std::vector<Reply> replies = co_await handler_.End(machine_.facts(), machine_.message_octets());
        machine_.AnswerMessage(replies);
        co_return true;
      }
      case Event::Kind::kReset:
        handler_.Reset();
        co_return true;
      case Event::Kind::kStartTls: {
        const bool flushed = co_await Flush();
        if (!flushed) co_return false;
        const bool secured = co_await Secure();
        co_return secured;
      }
      default:
        break;
    }
    const Reply reply = co_await Ask(event);
    machine_.Answer(reply);
    co_return true;
  }

  asio::awaitable<bool> Secure() {
    const absl::Status shaken =
        co_await net::StartSessionTls(connection_, tls_, protocol_ == Protocol::kLmtp ? "lmtp" : "smtp");
    if (!shaken.ok()) co_return false;
    machine_.Secured();
    handler_.Secured(*connection_.tls());
    went_on_ = true;
    co_return true;
  }

  asio::awaitable<Reply> Ask(Event& event) {
    switch (event.kind) {
      case Event::Kind::kHello:
        return handler_.Hello(event.text, machine_.extended());
      case Event::Kind::kLogin:
        return handler_.LogIn(std::move(event.text), std::move(event.password));
      case Event::Kind::kXclient:
        return handler_.Introduce(event.client);
      case Event::Kind::kMail:
        return handler_.Mail(event.mail);
      case Event::Kind::kRecipient:
        return handler_.Recipient(event.recipient);
      default:
        return handler_.Data();
    }
  }

  asio::awaitable<bool> Flush() {
    const std::string output = machine_.TakeOutput();
    if (output.empty()) co_return true;
    went_on_ = true;
    if (machine_.slow()) {
      asio::steady_timer timer(co_await asio::this_coro::executor, times_.slow_reply);
      std::error_code ignored;
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    const absl::Status written = co_await connection_.Write(output, times_.idle);
    co_return written.ok();
  }

  asio::awaitable<bool> ReadMore() {
    const auto now = steady_clock::now();
    if (std::exchange(went_on_, false) || machine_.in_message()) deadline_ = now + times_.idle;
    const auto left = std::chrono::ceil<milliseconds>(std::max(deadline_ - now, steady_clock::duration(0)));
    absl::StatusOr<std::string_view> got;
    if (machine_.busy()) {
      got = co_await connection_.Read(left);
    } else {
      got = co_await connection_.ReadIdle(left);
    }
    if (got.ok()) {
      machine_.Input(*got);
      co_return true;
    }
    // RFC 5321 section 3.8: say why before closing.
    if (absl::IsDeadlineExceeded(got.status())) machine_.Reject({421, "4.4.2", "you were silent too long"});
    if (absl::IsCancelled(got.status())) machine_.Reject({421, "4.3.2", "shutting down, come again"});
    co_await Flush();
    co_return false;
  }

  net::Connection& connection_;
  const Protocol protocol_;
  const net::SessionTls tls_;
  ServerMachine machine_;
  Handler& handler_;
  const SessionTimes times_;
  // An octet now and then does not push the end on: a whole command does, or a piece of the message.
  steady_clock::time_point deadline_;
  bool went_on_ = true;
};

}  // namespace

asio::awaitable<Reply> Handler::LogIn(std::string, auth::Secret) {
  co_return Reply{502, "5.5.1", "there is no login here"};
}

asio::awaitable<Reply> Handler::Introduce(const XclientCommand&) {
  co_return Reply{550, "5.7.0", "you are not trusted to say who the client is"};
}

asio::awaitable<void> ServeSession(std::unique_ptr<net::Connection> connection, SessionOptions options,
                                   std::unique_ptr<Handler> handler) {
  Session session(*connection, std::move(options), *handler);
  co_await session.Run();
}

}  // namespace prov::smtp
