#include "agents/mail/pop3/session.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <optional>
#include <utility>

#include "agents/mail/auth/held_login.h"
#include "agents/mail/maildir/mailbox.h"
#include "agents/mail/net/in_turn.h"
#include "agents/mail/net/session_tls.h"
#include "agents/mail/pop3/machine.h"
#include "agents/mail/pop3/multiline.h"
#include "common/log.h"
#include "common/random.h"
#include "common/status.h"

namespace prov::pop3 {
namespace {

using std::chrono::steady_clock;

constexpr char kPamService[] = "prov-pop3";
constexpr size_t kSessionOctets = 8;  // of randomness in a session's name

constexpr size_t kMostInOneGo = 1 << 20;

// A message that is being read. To close a file may be a word to a server that is away: a thread waits for
// it.
struct Reading {
  explicit Reading(net::BlockingPool& pool) : pool(pool) {}
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  ~Reading() {
    if (reader == nullptr || ends_at_once) return;
    pool.Post([ended = std::shared_ptr<maildir::MessageReader>(std::move(reader))] {});
  }

  net::BlockingPool& pool;
  std::unique_ptr<maildir::MessageReader> reader;
  bool ends_at_once = false;
};

// Owns what it uses: it may outlive the session.
struct Opening {
  std::string root, mailbox_id;
  std::chrono::seconds login_delay;
  maildir::ListingMemory* listings;

  absl::StatusOr<std::unique_ptr<maildir::Mailbox>> operator()() const {
    return maildir::Mailbox::Open(root, mailbox_id, login_delay, listings);
  }
};

MachineOptions OptionsFor(const SessionContext& context, const std::string& peer) {
  return {.trusted = context.xclient.Contains(peer),
          .utf8 = true,
          .capabilities = context.terms.CapabilitiesBeforeLogin()};
}

// Awaits stand alone in their statements: GCC 12 miscompiles them as operands of && and in conditions of
// loops.
class Session {
 public:
  Session(std::unique_ptr<net::Connection> connection, const SessionContext& context)
      : connection_(std::move(connection)),
        context_(context),
        client_(connection_->peer()),
        session_(RandomHex(kSessionOctets)),
        machine_(context.hostname, context.tls.use, OptionsFor(context, client_.address)),
        deadline_(steady_clock::now() + context.times.login) {}

  asio::awaitable<void> Run() {
    bool goes_on = true;
    if (context_.tls.use == net::TlsUse::kAlways) goes_on = co_await Secure();
    while (goes_on) goes_on = co_await TakeStep();
    // Without QUIT the marks are forgotten here, and nothing is removed (RFC 1939 section 6).
    co_await ReleaseMailbox();
    connection_->Close();
    if (!login_.empty()) {
      Log(Level::kInfo, "pop3_session_ended",
          {{"login", login_},
           {"remote", client_.address},
           {"session", session_},
           {"retrieved", retrieved_},
           {"octets", octets_},
           {"removed", removed_},
           {"expired", expired_}});
    }
  }

 private:
  // False when the session is over.
  asio::awaitable<bool> TakeStep() {
    Step step = machine_.Next();
    // Only whole commands push the deadline on: an octet now and then does not.
    if (mailbox_ != nullptr && step.kind != Step::Kind::kNeedInput) {
      deadline_ = steady_clock::now() + context_.times.idle;
    }
    switch (step.kind) {
      case Step::Kind::kOutput:
        co_return co_await Gather(std::move(step.output));
      case Step::Kind::kNeedInput:
        co_return co_await ReadMore();
      case Step::Kind::kLogin:
        co_return co_await LogIn(std::move(step));
      case Step::Kind::kSend:
        co_return co_await Send(std::move(step));
      case Step::Kind::kStartTls: {
        const bool written = co_await Flush();
        if (!written) co_return false;
        co_return co_await Secure();
      }
      case Step::Kind::kXclient:
        Introduce(std::move(step.client));
        co_return true;
      case Step::Kind::kRemove:
        co_return co_await Remove(std::move(step.indices));
      case Step::Kind::kClose:
        // Before the last word: a client that comes back at once must not find the mailbox in use by itself.
        co_await ReleaseMailbox();
        co_await Flush();
        co_return false;
    }
    co_return false;
  }

  asio::awaitable<bool> Secure() {
    const absl::Status shaken = co_await net::StartSessionTls(*connection_, context_.tls, "pop3");
    if (shaken.ok()) machine_.Secured();
    co_return shaken.ok();
  }

  asio::awaitable<bool> Gather(std::string output) {
    if (gathered_.size() + output.size() > kGatheredOctets) {
      const bool written = co_await Flush();
      if (!written) co_return false;
    }
    gathered_ += output;
    co_return true;
  }

  asio::awaitable<bool> ReadMore() {
    const bool written = co_await Flush();
    if (!written) co_return false;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - steady_clock::now());
    if (left.count() <= 0) co_return false;
    const auto octets = co_await connection_->ReadIdle(left);
    if (octets.ok()) machine_.Input(*octets);
    co_return octets.ok();
  }

  asio::awaitable<bool> Flush() {
    if (gathered_.empty()) co_return true;
    const absl::Status written = co_await connection_->Write(gathered_, context_.times.write);
    gathered_.clear();
    co_return written.ok();
  }

  // The peer is trusted, and stands for somebody.
  void Introduce(Xclient client) {
    if (!client.address.empty()) client_ = {std::move(client.address), client.port};
    if (client.session.empty()) return;
    Log(Level::kInfo, "session_named",
        {{"session", client.session}, {"remote", client_.address}, {"by", connection_->peer().address}});
    session_ = std::move(client.session);
  }

  asio::awaitable<bool> LogIn(Step step) {
    const bool written = co_await Flush();
    if (!written) co_return false;
    auth::Attempt attempt{kPamService, step.login, std::move(step.password), client_.address, session_};
    const auth::Verdict verdict = co_await auth::LogIn(context_.authenticator, std::move(attempt));
    if (verdict.outcome == auth::Outcome::kOk) {
      terms_ = context_.terms.Of(verdict.plan);
      co_await OpenMailbox(verdict.mailbox_id, step.login);
      co_return true;
    }
    machine_.LoginFailed(verdict.outcome == auth::Outcome::kTemporaryFailure ? LoginFailure::kTemporary
                                                                             : LoginFailure::kRefused);
    co_return true;
  }

  asio::awaitable<void> OpenMailbox(const std::string& mailbox_id, const std::string& login) {
    auto mailbox = co_await OpenWhenFree(mailbox_id);
    if (mailbox.ok()) {
      mailbox_ = *std::move(mailbox);
      login_ = login;
      machine_.LoggedIn(mailbox_->messages(), PlanTerms::CapabilitiesOf(terms_));
      deadline_ = steady_clock::now() + context_.times.idle;
      co_return;
    }
    RefuseMailbox(mailbox.status(), mailbox_id, login);
  }

  void RefuseMailbox(const absl::Status& status, const std::string& mailbox_id, const std::string& login) {
    const char* event = "mailbox_open_failed";
    LoginFailure failure = LoginFailure::kTemporary;
    if (absl::IsAborted(status)) {
      event = "mailbox_in_use";
      failure = LoginFailure::kInUse;
    } else if (absl::IsUnauthenticated(status)) {
      event = "login_too_soon";
      failure = LoginFailure::kTooSoon;
    }
    Log(failure == LoginFailure::kTemporary ? Level::kError : Level::kInfo, event,
        {{"login", login}, {"mailbox", mailbox_id}, {"session", session_}, {"error", status}});
    machine_.LoginFailed(failure);
  }

  // A client that lost its connection and comes again at once may be faster than the end of its old session.
  asio::awaitable<absl::StatusOr<std::unique_ptr<maildir::Mailbox>>> OpenWhenFree(
      const std::string& mailbox_id) {
    if (terms_.login_delay.count() == 0) {
      std::unique_ptr<maildir::Mailbox> at_once =
          maildir::Mailbox::OpenFromMemory(context_.maildir_root, mailbox_id);
      released_at_once_ = at_once != nullptr;
      if (at_once) co_return at_once;
    }
    const auto give_up = steady_clock::now() + context_.times.in_use;
    for (;;) {
      const Opening opening{context_.maildir_root, mailbox_id, terms_.login_delay, &context_.listings};
      const net::Turn turn{mailbox_id, context_.times.open, net::Turn::Until::kDone};
      auto mailbox = co_await net::RunInTurn(context_.blocking, turn, opening);
      if (!absl::IsAborted(mailbox.status()) || steady_clock::now() >= give_up) co_return mailbox;
      asio::steady_timer timer(co_await asio::this_coro::executor, kInUsePoll);
      co_await timer.async_wait(asio::use_awaitable);
    }
  }

  // The first piece is read before anything is said: until then -ERR is possible.
  asio::awaitable<bool> Send(Step step) {
    bool written = co_await Flush();
    if (!written) co_return false;
    Reading reading(context_.blocking);
    absl::StatusOr<std::string> piece = co_await Open(step.index, reading);
    if (!piece.ok()) {
      LogUnreadable(step, piece.status());
      machine_.MessageGone(!absl::IsNotFound(piece.status()));
      co_return true;
    }
    gathered_ = machine_.Sending(step);
    Multiline multiline(step.body_lines);
    while (!piece->empty() && multiline.Encode(*piece, gathered_)) {
      octets_ += piece->size();
      co_await LetOthersHaveTheLoop(piece->size());
      if (gathered_.size() >= kGatheredOctets) written = co_await Flush();
      if (!written) co_return false;
      piece = co_await ReadPiece(*reading.reader);
      if (!piece.ok()) {
        // The client must not take the part for the whole: the end mark never comes.
        LogUnreadable(step, piece.status());
        co_return false;
      }
    }
    multiline.Finish(gathered_);
    ++retrieved_;
    if (terms_.expire_days > 0 && !step.body_lines) fetched_.push_back(step.index);
    co_return true;
  }

  // What the kernel has in memory, as it has new mail mostly, is had here; a thread waits for the disk.
  // Answers the first piece.
  asio::awaitable<absl::StatusOr<std::string>> Open(size_t index, Reading& reading) {
    reading.reader = mailbox_->OpenMessageFromMemory(index);
    reading.ends_at_once = reading.reader != nullptr;
    if (!reading.ends_at_once) {
      auto opened =
          co_await net::RunBlocking(context_.blocking, [&] { return mailbox_->OpenMessage(index); });
      if (!opened.ok()) co_return opened.status();
      reading.reader = *std::move(opened);
    }
    co_return co_await ReadPiece(*reading.reader);
  }

  // Neither memory nor a quick client makes us wait, and so nobody else would get on.
  asio::awaitable<void> LetOthersHaveTheLoop(size_t octets) {
    in_one_go_ += octets;
    if (in_one_go_ < kMostInOneGo) co_return;
    in_one_go_ = 0;
    const auto executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, asio::use_awaitable);
  }

  asio::awaitable<absl::StatusOr<std::string>> ReadPiece(maildir::MessageReader& reader) {
    std::optional<std::string> at_once = reader.ReadFromMemory();
    if (at_once) co_return *std::move(at_once);
    co_return co_await net::RunBlocking(context_.blocking, [&reader] { return reader.Read(); });
  }

  void LogUnreadable(const Step& step, const absl::Status& status) {
    Log(absl::IsNotFound(status) ? Level::kInfo : Level::kError, "message_unreadable",
        {{"login", login_},
         {"session", session_},
         {"uidl", mailbox_->messages()[step.index].uidl},
         {"error", status}});
  }

  asio::awaitable<bool> Remove(std::vector<size_t> indices) {
    absl::Status removed;
    if (!indices.empty() || terms_.expire_days > 0)
      removed = co_await net::RunBlocking(context_.blocking, [&] { return RemoveAndExpire(indices); });
    if (removed.ok()) {
      removed_ = indices.size();
    } else {
      Log(Level::kError, "messages_not_removed",
          {{"login", login_}, {"session", session_}, {"error", removed}});
    }
    machine_.Removed(removed.ok());
    co_return true;
  }

  // The answer is about what the client has deleted: what is to expire does so in a later session as well.
  absl::Status RemoveAndExpire(const std::vector<size_t>& indices) {
    absl::Status removed;
    if (!indices.empty()) removed = mailbox_->Remove(indices);
    if (terms_.expire_days == 0) return removed;
    const auto expired = mailbox_->Expire(fetched_, std::chrono::hours(24) * terms_.expire_days);
    if (expired.ok()) {
      expired_ = *expired;
    } else {
      Log(Level::kWarning, "messages_not_expired",
          {{"login", login_}, {"session", session_}, {"error", expired.status()}});
    }
    return removed;
  }

  asio::awaitable<void> ReleaseMailbox() {
    if (released_at_once_) mailbox_.reset();
    if (mailbox_ == nullptr) co_return;
    co_await net::RunBlocking(context_.blocking, [this] { mailbox_.reset(); });
  }

  const std::unique_ptr<net::Connection> connection_;
  const SessionContext& context_;
  net::Peer client_;     // or whom the peer stands for
  std::string session_;  // its name in logs
  Machine machine_;
  MailboxTerms terms_;
  steady_clock::time_point deadline_;
  std::unique_ptr<maildir::Mailbox> mailbox_;
  bool released_at_once_ = false;  // mailbox_, without a thread
  std::string gathered_;
  std::string login_;
  size_t in_one_go_ = 0;  // octets since others were let on
  uint64_t retrieved_ = 0, octets_ = 0, removed_ = 0, expired_ = 0;
  std::vector<size_t> fetched_;  // whole, where mail expires
};

}  // namespace

asio::awaitable<void> ServeSession(std::unique_ptr<net::Connection> connection,
                                   const SessionContext& context) {
  Session session(std::move(connection), context);
  co_await session.Run();
}

}  // namespace prov::pop3
