#include "agents/mail/pop3/back_end_login.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "agents/mail/net/connector.h"
#include "agents/mail/net/host_port.h"
#include "agents/mail/pop3/limits.h"
#include "common/status.h"

namespace prov::pop3 {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// RFC 2449 section 4 says 512 for a response; some say more in a greeting.
constexpr size_t kMaxReplyOctets = 1024;
constexpr int kMaxCapabilities = 100;
constexpr std::chrono::minutes kKnownFor(1);
constexpr size_t kMostKnown = 1000;
// Dovecot's way to say that it takes XCLIENT, without being asked by CAPA.
constexpr char kXclientMark[] = "[XCLIENT]";
constexpr char kXclient[] = "XCLIENT";
constexpr char kPipelining[] = "PIPELINING";
constexpr size_t kMostSaidOctets = 256;  // beside the login and the password

struct Reply {
  bool accepted = false;
  std::string words;
};

// Awaits stand alone in their statements, as in session.cc.
class Dialogue {
 public:
  Dialogue(BackEnds& back_ends, const Store& store, const BackEndUser& user, BackEndSession& session,
           bool& password_sent)
      : back_ends_(back_ends), store_(store), user_(user), session_(session), password_sent_(password_sent) {}

  ~Dialogue() { auth::Wipe(unsent_); }

  // An error: nothing was decided.
  asio::awaitable<absl::Status> Run() {
    auto connected = co_await net::Connect(store_.endpoint, kConnectTime);
    if (!connected.ok()) co_return connected.status();
    session_.connection = *std::move(connected);
    if (back_ends_.tls() != BackEndTls::kNone) session_.party = back_ends_.PartyOf(store_);
    absl::Status status;
    if (back_ends_.tls() == BackEndTls::kAlways) status = co_await Secure();
    if (status.ok()) status = co_await TakeGreeting();
    if (status.ok() && back_ends_.tls() == BackEndTls::kStls) status = co_await StartTls();
    if (status.ok()) status = co_await LearnAbilities();
    if (status.ok()) status = co_await LogIn();
    co_return status;
  }

 private:
  net::Connection& connection() { return *session_.connection; }

  asio::awaitable<absl::Status> Secure() {
    absl::Status status = co_await connection().StartTls(*session_.party, back_ends_.answer_time());
    co_return Annotate(std::move(status), store_.host);
  }

  asio::awaitable<absl::Status> TakeGreeting() {
    const absl::StatusOr<Reply> reply = co_await ReadReply(back_ends_.answer_time());
    if (!reply.ok()) co_return reply.status();
    if (!reply->accepted) co_return absl::UnavailableError("the back end takes no sessions now");
    if (reply->words.find(fmt::format("{} POP3 ready", kProxyMark)) != std::string::npos)
      co_return absl::FailedPreconditionError("the back end is a proxy itself");
    if (reply->words.find(kXclientMark) != std::string::npos)
      back_ends_.SetAbilities(store_.endpoint, {.xclient = true});
    co_return absl::OkStatus();
  }

  asio::awaitable<absl::Status> StartTls() {
    const absl::StatusOr<Reply> reply = co_await Ask("STLS\r\n", back_ends_.answer_time());
    if (!reply.ok()) co_return reply.status();
    if (!reply->accepted) co_return absl::UnavailableError("the back end does not offer TLS");
    // Somebody on the way may have put it there, to be believed inside TLS (RFC 2595 section 4).
    if (!buffer_.empty()) co_return absl::UnavailableError("the back end spoke before TLS began");
    co_return co_await Secure();
  }

  asio::awaitable<absl::Status> LearnAbilities() {
    const std::optional<BackEndAbilities> known = back_ends_.AbilitiesOf(store_.endpoint);
    if (known) {
      can_ = *known;
      co_return absl::OkStatus();
    }
    const absl::Status asked = co_await AskAbilities();
    if (asked.ok()) back_ends_.SetAbilities(store_.endpoint, can_);
    co_return asked;
  }

  // RFC 2449 section 5. One without CAPA has none.
  asio::awaitable<absl::Status> AskAbilities() {
    const absl::StatusOr<Reply> reply = co_await Ask("CAPA\r\n", back_ends_.answer_time());
    if (!reply.ok()) co_return reply.status();
    for (int lines = 0; reply->accepted; ++lines) {
      const absl::StatusOr<std::string> line = co_await ReadLine(back_ends_.answer_time());
      if (!line.ok()) co_return line.status();
      if (*line == ".") break;
      if (lines >= kMaxCapabilities) co_return absl::UnavailableError("the back end's CAPA is too long");
      const std::string capability = absl::AsciiStrToUpper(*line);
      can_.xclient = can_.xclient || capability == kXclient;
      can_.pipelining = can_.pipelining || capability == kPipelining;
    }
    co_return absl::OkStatus();
  }

  // A back end that takes commands ahead of their replies gets all of them in one piece.
  asio::awaitable<absl::Status> LogIn() {
    const bool waits = !can_.pipelining;
    // Growing would leave a copy of the password behind.
    unsent_.reserve(kMostSaidOctets + user_.login.size() + user_.password.Reveal().size());
    absl::Status status;
    if (can_.xclient) SayXclient();
    if (can_.xclient && waits) status = co_await HearOfXclient();
    if (!status.ok()) co_return status;
    unsent_ += fmt::format("USER {}\r\n", user_.login);
    absl::StatusOr<Reply> to_user = Reply();
    if (waits) to_user = co_await Hear(back_ends_.answer_time());
    if (!to_user.ok()) co_return to_user.status();
    if (waits && !to_user->accepted) co_return Decided(*to_user);
    SayPassword();
    if (can_.xclient && !waits) status = co_await HearOfXclient();
    if (!status.ok()) co_return status;
    if (!waits) to_user = co_await Hear(kBackEndReplyTime);
    if (!to_user.ok()) co_return to_user.status();
    const absl::StatusOr<Reply> to_password = co_await Hear(kBackEndReplyTime);
    if (!to_password.ok()) co_return to_password.status();
    co_return Decided(to_user->accepted ? *to_password : *to_user);
  }

  // Who the client is.
  void SayXclient() {
    unsent_ += fmt::format("{} ADDR={} PORT={} SESSION={}\r\n", kXclient, user_.client.address,
                           user_.client.port, user_.session);
  }

  asio::awaitable<absl::Status> HearOfXclient() {
    // With the password, all replies may come when that has been looked at.
    const absl::StatusOr<Reply> reply =
        co_await Hear(password_said_ ? kBackEndReplyTime : back_ends_.answer_time());
    if (!reply.ok()) co_return reply.status();
    // It need not take it: then it sees us as the client.
    if (!reply->accepted) back_ends_.SetAbilities(store_.endpoint, {.pipelining = can_.pipelining});
    co_return absl::OkStatus();
  }

  void SayPassword() {
    unsent_ += "PASS ";
    unsent_ += user_.password.Reveal();
    unsent_ += "\r\n";
    password_said_ = true;
  }

  absl::Status Decided(const Reply& reply) {
    session_.accepted = reply.accepted;
    session_.words = reply.words;
    session_.rest = std::move(buffer_);
    return absl::OkStatus();
  }

  asio::awaitable<absl::StatusOr<Reply>> Ask(std::string_view line, milliseconds patience) {
    unsent_ = line;
    co_return co_await Hear(patience);
  }

  // The next reply, after all that was said has been sent.
  asio::awaitable<absl::StatusOr<Reply>> Hear(milliseconds patience) {
    if (!unsent_.empty()) {
      // Answers to what was not asked would be taken for answers to what is.
      if (!buffer_.empty()) co_return absl::UnavailableError("the back end speaks out of turn");
      password_sent_ = password_said_;
      const absl::Status sent = co_await connection().Write(unsent_, back_ends_.answer_time());
      auth::Wipe(unsent_);
      if (!sent.ok()) co_return sent;
    }
    co_return co_await ReadReply(patience);
  }

  asio::awaitable<absl::StatusOr<Reply>> ReadReply(milliseconds patience) {
    const absl::StatusOr<std::string> line = co_await ReadLine(patience);
    if (!line.ok()) co_return line.status();
    Reply reply;
    reply.accepted = line->starts_with("+OK");
    if (!reply.accepted && !line->starts_with("-ERR"))
      co_return absl::UnavailableError("the back end does not speak POP3");
    const size_t space = line->find(' ');
    if (space != std::string::npos) reply.words = line->substr(space + 1);
    co_return reply;
  }

  // One line without its end, all of it within `patience`; what came behind it stays in the buffer.
  asio::awaitable<absl::StatusOr<std::string>> ReadLine(milliseconds patience) {
    const auto deadline = steady_clock::now() + patience;
    size_t end = 0;
    while ((end = buffer_.find('\n')) == std::string::npos) {
      if (buffer_.size() > kMaxReplyOctets)
        co_return absl::UnavailableError("the back end's reply is too long");
      const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
      if (left.count() <= 0) co_return absl::DeadlineExceededError("the back end's reply is too slow");
      const auto octets = co_await connection().Read(left);
      if (!octets.ok()) co_return octets.status();
      buffer_ += *octets;
    }
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    if (line.ends_with('\r')) line.pop_back();
    if (line.size() > kMaxReplyOctets) co_return absl::UnavailableError("the back end's reply is too long");
    co_return line;
  }

  BackEnds& back_ends_;
  const Store& store_;
  const BackEndUser& user_;
  BackEndSession& session_;
  bool& password_sent_;
  BackEndAbilities can_;
  std::string unsent_;
  bool password_said_ = false;  // it is in unsent_, or was
  std::string buffer_;
};

}  // namespace

std::unique_ptr<net::TlsParty> BackEnds::PartyOf(const Store& store) const {
  net::TlsIdentity identity{{store.host}, fmt::format("prov://agent/{}", store.host)};
  const absl::StatusOr<net::HostPort> endpoint = net::ParseHostPort(store.endpoint);
  if (endpoint.ok()) identity.hosts.push_back(endpoint->host);
  return verify_->Towards(std::move(identity));
}

std::optional<BackEndAbilities> BackEnds::AbilitiesOf(const std::string& endpoint) {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(endpoint);
  if (found == known_.end() || found->second.until <= steady_clock::now()) return std::nullopt;
  return found->second.abilities;
}

void BackEnds::SetAbilities(const std::string& endpoint, const BackEndAbilities& abilities) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMostKnown) known_.clear();
  known_[endpoint] = {abilities, steady_clock::now() + kKnownFor};
}

asio::awaitable<absl::StatusOr<BackEndSession>> LogInAt(BackEnds& back_ends, const Store& store,
                                                        const BackEndUser& user, bool& password_sent) {
  password_sent = false;
  BackEndSession session;
  Dialogue dialogue(back_ends, store, user, session, password_sent);
  absl::Status status = co_await dialogue.Run();
  if (!status.ok()) co_return status;
  co_return session;
}

}  // namespace prov::pop3
