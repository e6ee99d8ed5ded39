#include "agents/mail/smtp/relay_handler.h"

#include <fmt/format.h>

#include <asio/use_awaitable.hpp>
#include <utility>

#include "agents/mail/auth/held_login.h"
#include "agents/mail/queue/mail_date.h"
#include "agents/mail/queue/mail_event.h"
#include "agents/mail/smtp/acceptance.h"
#include "agents/mail/smtp/trace_header.h"
#include "common/log.h"
#include "common/mail_address.h"
#include "common/status.h"

namespace prov::smtp {
namespace {

constexpr size_t kBufferOctets = 64 * 1024;
constexpr char kPamService[] = "prov-smtp";

class RelayHandler final : public Handler {
 public:
  RelayHandler(const RelayServices& services, const net::Peer& peer) : services_(services) {
    Meet(peer.address);
  }

  asio::awaitable<Reply> Connect() override {
    const policy::Verdict verdict = co_await services_.policy->Connect(client_);
    co_return ReplyOf(verdict);
  }

  void Secured(const net::TlsFacts& facts) override {
    client_.hello.clear();
    cipher_ = facts.cipher;
  }

  asio::awaitable<Reply> LogIn(std::string login, auth::Secret password) override {
    auth::Attempt attempt{kPamService, login, std::move(password), client_.address};
    const auth::Verdict verdict = co_await auth::LogIn(*services_.authenticator, std::move(attempt));
    if (verdict.outcome == auth::Outcome::kTemporaryFailure)
      co_return Reply{454, "4.7.0", "cannot be decided now, come again"};
    // The same for all reasons, RFC 4954 section 6.
    if (verdict.outcome != auth::Outcome::kOk) co_return Reply{535, "5.7.8", "name or password is wrong"};
    client_.login = FoldAddress(login);
    client_.credential_version = verdict.credential_version;
    client_.trusted = true;
    co_return Reply{235, "2.7.0", "welcome"};
  }

  asio::awaitable<Reply> Introduce(const XclientCommand& client) override {
    // Whoever cannot be named, or is not yet, has no rights of the host that brings him.
    if (client.address || !introduced_) Meet(client.address.value_or(""));
    introduced_ = true;
    client_.hello.clear();
    introduced_hello_ = client.hello;
    const Reply refusal = co_await Connect();
    co_return refusal.code == 0 ? Reply{220, "", services_.hostname + " ESMTP"} : refusal;
  }

  asio::awaitable<Reply> Hello(std::string name, bool extended) override {
    client_.hello = introduced_hello_.empty() ? std::move(name) : introduced_hello_;
    extended_ = extended;
    const policy::Verdict verdict = co_await services_.policy->Hello(client_);
    co_return verdict.go_on() ? Reply{250, "", services_.hostname} : ReplyOf(verdict);
  }

  asio::awaitable<Reply> Mail(const MailCommand& mail) override {
    Reset();
    envelope_.trace = queue::Spool::NewId(services_.clock->Now());
    envelope_.sender = mail.sender.text;
    wishes_.eight_bit = mail.eight_bit;
    wishes_.utf8 = mail.utf8;
    wishes_.returned = mail.returned;
    wishes_.envelope_id = mail.envelope_id;
    const absl::Status room = services_.spool->CheckRoom(mail.size);
    if (!room.ok()) {
      Log(Level::kError, "queue_full", {{"error", room}});
      co_return StorageReply(room);
    }
    const policy::Verdict verdict = co_await services_.policy->Mail(client_, envelope_);
    if (!verdict.go_on()) co_return Refused("mail", ReplyOf(verdict));
    co_return Reply{250, "2.1.0", "sender ok"};
  }

  asio::awaitable<Reply> Recipient(const RecipientCommand& command) override {
    const Path& path = command.path;
    const policy::Recipient recipient = PolicyRecipient(path);
    const policy::Verdict verdict = co_await services_.policy->Rcpt(client_, envelope_, recipient);
    if (!verdict.go_on()) co_return Refused(path.text, ReplyOf(verdict));
    const bool postmaster = path.form == Path::Form::kPostmaster;
    envelope_.recipients.push_back(postmaster ? path.local_part + "@" + services_.hostname : path.text);
    wishes_.recipients.push_back({envelope_.recipients.back(), command.notify, command.original});
    co_return Reply{250, "2.1.5", "recipient ok"};
  }

  asio::awaitable<Reply> Data() override {
    wishes_.id = wishes_.trace = envelope_.trace;
    wishes_.received = services_.clock->Now();
    wishes_.client = client_.address;
    wishes_.sender = envelope_.sender;
    buffer_ = FormatReceived(ReceivedHere());
    header_octets_ = buffer_.size();
    co_return Reply{354, "", "end with CRLF.CRLF"};
  }

  asio::awaitable<void> Content(std::string text) override {
    // A first line that begins with a blank is body: it must not become part of our field.
    const bool first = buffer_.size() == header_octets_ && !began_;
    if (first && (text.front() == ' ' || text.front() == '\t')) buffer_ += "\r\n";
    began_ = true;
    buffer_ += text;
    if (buffer_.size() >= kBufferOctets) co_await Flush();
  }

  asio::awaitable<void> HeaderEnd(const HeaderFacts& facts) override {
    if (services_.authenticator != nullptr) Complete(facts);
    // A store of ours sends a forward on, with the id of what it took on top.
    if (client_.trusted && client_.login.empty()) follows_ = TraceIdOf(facts.first_received);
    const policy::Header header = PolicyHeader(facts);
    const policy::Verdict verdict = co_await services_.policy->HeaderEnd(client_, envelope_, header);
    if (!verdict.go_on()) refusal_ = ReplyOf(verdict);
  }

  asio::awaitable<std::vector<Reply>> End(const HeaderFacts&, uint64_t octets) override {
    Reply reply = co_await Accept(octets);
    Reset();
    co_return std::vector<Reply>{std::move(reply)};
  }

  // A writer that goes removes its file.
  void Reset() override {
    if (writer_)
      services_.pool->Post([writer = std::shared_ptr<queue::MessageWriter>(std::move(writer_))] {});
    envelope_ = {};
    wishes_ = {};
    follows_.clear();
    buffer_.clear();
    began_ = false;
    failure_ = absl::OkStatus();
    refusal_ = {};
  }

 private:
  void Meet(const std::string& address) {
    client_.address = address.empty() ? "unknown" : address;
    client_.trusted = services_.authenticator == nullptr && services_.trusted->Contains(address);
  }

  // RFC 6409 sections 8.2 and 8.3: mail programs may leave these to us. Of a header that is longer than what
  // we hold, a part has been written, and it stays as it is.
  void Complete(const HeaderFacts& facts) {
    if (writer_) return;
    std::string fields;
    if (!facts.has_date) fields += fmt::format("Date: {}\r\n", queue::MailDate(wishes_.received));
    if (!facts.has_message_id)
      fields += fmt::format("Message-ID: <{}@{}>\r\n", wishes_.id, services_.hostname);
    buffer_.insert(header_octets_, fields);
  }

  // RFC 3848; RFC 6531 section 4.3.
  std::string With() const {
    std::string with = wishes_.utf8 ? "UTF8SMTP" : extended_ ? "ESMTP" : "SMTP";
    if (!cipher_.empty()) with += "S";
    if (!client_.login.empty()) with += "A";
    return with;
  }

  ReceivedBy ReceivedHere() const {
    ReceivedBy received;
    received.hello = client_.hello;
    received.client_address = client_.address;
    received.hostname = services_.hostname;
    received.with = With();
    received.cipher = cipher_;
    received.id = envelope_.trace;
    if (envelope_.recipients.size() == 1) received.recipient = envelope_.recipients.front();
    received.time = services_.clock->Now();
    return received;
  }

  Reply Refused(std::string_view what, Reply reply) const {
    queue::TellOfMail(services_.trace, Level::kInfo, "mail_refused",
                      {{"trace", envelope_.trace},
                       {"client", client_.address},
                       {"sender", envelope_.sender},
                       {"recipient", what},
                       {"reply", ReplyText(reply)}});
    return reply;
  }

  // Blocks.
  absl::Status Write() {
    if (!writer_) {
      PROV_ASSIGN_OR_RETURN(writer_, services_.spool->Begin(wishes_));
    }
    return writer_->Append(buffer_);
  }

  asio::awaitable<void> Flush() {
    if (failure_.ok()) {
      failure_ = co_await net::RunBlocking(*services_.pool, [this] { return Write(); });
    }
    buffer_.clear();
  }

  // Blocks. What most messages are is written whole at once.
  absl::StatusOr<queue::StoredMessage> Commit() {
    PROV_RETURN_IF_ERROR(failure_);
    PROV_RETURN_IF_ERROR(Write());
    return writer_->Commit();
  }

  asio::awaitable<Reply> Accept(uint64_t octets) {
    if (refusal_.code != 0) co_return Refused("message", refusal_);
    const policy::Verdict verdict = co_await services_.policy->MessageEnd(client_, envelope_, octets);
    if (!verdict.go_on()) co_return Refused("message", ReplyOf(verdict));
    const auto begun = services_.clock->Monotonic();
    absl::StatusOr<queue::StoredMessage> stored =
        co_await net::RunBlocking(*services_.pool, [this] { return Commit(); });
    if (!stored.ok()) {
      Log(Level::kError, "queue_write_failed", {{"trace", envelope_.trace}, {"error", stored.status()}});
      co_return StorageReply(stored.status());
    }
    if (services_.clock->Monotonic() - begun > kMostCommitTime) co_return co_await TooLate();
    queue::TellOfMail(services_.trace, Level::kInfo, "mail_accepted",
                      {{"trace", envelope_.trace},
                       {"follows", follows_},
                       {"client", client_.address},
                       {"hello", client_.hello},
                       {"login", client_.login},
                       {"tls", cipher_},
                       {"sender", envelope_.sender},
                       {"recipients", envelope_.recipients.size()},
                       {"first_recipient", envelope_.recipients.front()},
                       {"octets", octets}},
                      envelope_.recipients);
    services_.runner->Accept(*std::move(stored));
    co_return Reply{250, "2.0.0", "queued as " + envelope_.trace};
  }

  asio::awaitable<Reply> TooLate() {
    const absl::Status withdrawn = co_await net::RunBlocking(
        *services_.pool, [this] { return services_.spool->Withdraw(envelope_.trace); });
    Log(Level::kError, "queue_too_slow", {{"trace", envelope_.trace}, {"withdrawn", withdrawn}});
    co_return Reply{451, "4.3.0", "it took too long, come again"};
  }

  const RelayServices services_;
  policy::Client client_;
  bool extended_ = false;
  std::string cipher_;            // of TLS; empty in clear
  bool introduced_ = false;       // by XCLIENT
  std::string introduced_hello_;  // likewise; empty: as it names itself
  policy::Envelope envelope_;
  queue::Envelope wishes_;  // what MAIL and RCPT said of the message to come
  std::string follows_;     // the id of the message that it is a forward of; empty: of none
  std::unique_ptr<queue::MessageWriter> writer_;
  std::string buffer_;        // not yet written
  size_t header_octets_ = 0;  // of our own field in front
  bool began_ = false;        // content came
  absl::Status failure_;
  Reply refusal_;  // of a policy that saw the header
};

}  // namespace

std::unique_ptr<Handler> MakeRelayHandler(const RelayServices& services, const net::Peer& peer) {
  return std::make_unique<RelayHandler>(services, peer);
}

}  // namespace prov::smtp
