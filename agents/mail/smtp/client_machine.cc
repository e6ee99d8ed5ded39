#include "agents/mail/smtp/client_machine.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "common/mail_address.h"

namespace prov::smtp {
namespace {

using std::chrono::seconds;

// RFC 5321 section 4.5.3.2 asks for these at least.
constexpr seconds kCommandPatience{300};
constexpr seconds kDataPatience{120};
constexpr seconds kFinalPatience{600};

Reply Later(std::string_view why) { return {451, "4.4.2", std::string(why)}; }

}  // namespace

ClientMachine::ClientMachine(ClientOptions options, ClientMessage message)
    : options_(std::move(options)), message_(std::move(message)), replies_(message_.recipients.size()) {}

void ClientMachine::Begin(ClientMessage message) {
  message_ = std::move(message);
  replies_.assign(message_.recipients.size(), {});
  accepted_.clear();
  sent_ = answered_ = final_ = 0;
  spoke_ = false;
  if (!open_) return BeginMail();
  output_ = "RSET\r\n";
  stage_ = Stage::kReset;
}

void ClientMachine::Quit() {
  stage_ = Stage::kDone;
  output_ = "QUIT\r\n";
}

ClientStep ClientMachine::Next() {
  for (;;) {
    if (stage_ == Stage::kDone || stage_ == Stage::kReady)
      return {ClientStep::Kind::kDone, std::exchange(output_, "")};
    if (!output_.empty()) return {ClientStep::Kind::kSend, std::exchange(output_, ""), kCommandPatience};
    if (stage_ == Stage::kContent) return {ClientStep::Kind::kSendContent};
    if (stage_ == Stage::kHandshake) return {ClientStep::Kind::kStartTls};
    const auto received = reader_.Next();
    if (received) {
      Handle(*received);
    } else if (reader_.broken()) {
      End(Later("the next hop speaks no SMTP"));
    } else {
      const seconds timeout = stage_ == Stage::kData    ? kDataPatience
                              : stage_ == Stage::kFinal ? kFinalPatience
                                                        : kCommandPatience;
      return {ClientStep::Kind::kNeedInput, "", timeout};
    }
  }
}

void ClientMachine::Handle(const ReplyReader::Received& received) {
  const Reply& reply = received.reply;
  if (reply.code == 421) {  // RFC 5321 section 3.8: it closes, whatever we asked
    return End(reply);
  }
  switch (stage_) {
    case Stage::kGreeting:
      return OnGreeting(reply);
    case Stage::kHello:
      return OnHello(received);
    case Stage::kStartTls:
      return OnStartTls(reply);
    case Stage::kReset:
      return OnReset(reply);
    case Stage::kMail:
      return OnMail(reply);
    case Stage::kRecipients:
      return OnRecipient(reply);
    case Stage::kData:
      return OnData(reply);
    case Stage::kFinal:
      return OnFinal(reply);
    default:
      return;
  }
}

// A host that takes no mail at all says nothing about these recipients: come again, or ask another.
void ClientMachine::OnGreeting(const Reply& reply) {
  if (reply.code != 220) return End(Later("refused by the next hop: " + ReplyText(reply)));
  SendHello();
}

void ClientMachine::SendHello() {
  const char* verb = options_.protocol == Protocol::kLmtp ? "LHLO" : tried_helo_ ? "HELO" : "EHLO";
  output_ += fmt::format("{} {}\r\n", verb, options_.hostname);
  stage_ = Stage::kHello;
}

void ClientMachine::OnHello(const ReplyReader::Received& received) {
  const Reply& reply = received.reply;
  if (reply.permanent() && options_.protocol == Protocol::kSmtp && !tried_helo_) {
    tried_helo_ = true;
    return SendHello();
  }
  if (!reply.ok()) return End(Later("refused by the next hop: " + ReplyText(reply)));
  if (!tried_helo_) TakeExtensions(received.lines);
  if (options_.starttls && starttls_ && !secure_) {
    output_ += "STARTTLS\r\n";
    stage_ = Stage::kStartTls;
    return;
  }
  spoke_ = true;
  BeginMail();
}

// What was offered before TLS counts no more (RFC 3207 section 4.2).
void ClientMachine::TakeExtensions(const std::vector<std::string>& lines) {
  pipelining_ = size_ = eight_bit_ = starttls_ = utf8_ = dsn_ = false;
  size_limit_ = 0;
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::string line = FoldAddress(lines[i]);
    if (line == "pipelining") pipelining_ = true;
    if (line == "8bitmime") eight_bit_ = true;
    if (line == "starttls") starttls_ = true;
    if (line == "smtputf8") utf8_ = true;
    if (line == "dsn") dsn_ = true;
    if (line == "size" || line.starts_with("size ")) {
      size_ = true;
      if (line.size() > 5) std::from_chars(line.data() + 5, line.data() + line.size(), size_limit_);
    }
  }
}

// A server that offers TLS and has none just now takes the mail in clear, as it would have without the offer.
void ClientMachine::OnStartTls(const Reply& reply) {
  if (reply.code == 220) {
    stage_ = Stage::kHandshake;
    return;
  }
  spoke_ = true;
  BeginMail();
}

void ClientMachine::Secured() {
  secure_ = true;
  reader_ = ReplyReader();
  SendHello();
}

void ClientMachine::BeginMail() {
  if (size_limit_ != 0 && message_.octets > size_limit_) {
    spoke_ = true;
    return Rest({552, "5.3.4", "the message is too large for the next hop"}, false);
  }
  // RFC 6531 section 3.5: it cannot be made ASCII on the way.
  if (message_.utf8 && !utf8_) {
    spoke_ = true;
    return Rest({553, "5.6.7", "the next hop does not know SMTPUTF8"}, false);
  }
  SendMail();
}

void ClientMachine::SendMail() {
  output_ += fmt::format("MAIL FROM:<{}>", message_.sender);
  if (size_) output_ += fmt::format(" SIZE={}", message_.octets);
  if (eight_bit_ && message_.eight_bit) output_ += " BODY=8BITMIME";
  if (message_.utf8) output_ += " SMTPUTF8";
  if (dsn_ && message_.returned != queue::Return::kUnsaid)
    output_ += message_.returned == queue::Return::kFull ? " RET=FULL" : " RET=HDRS";
  if (dsn_ && !message_.envelope_id.empty()) output_ += " ENVID=" + message_.envelope_id;
  output_ += "\r\n";
  stage_ = Stage::kMail;
  if (pipelining_) SendRecipients();
}

void ClientMachine::SendRecipients() {
  const size_t most = pipelining_ ? message_.recipients.size() : sent_ + 1;
  for (; sent_ < most; ++sent_) {
    output_ += fmt::format("RCPT TO:<{}>", message_.recipients[sent_]);
    if (dsn_ && !message_.wishes.empty()) SendWish(message_.wishes[sent_]);
    output_ += "\r\n";
  }
}

void ClientMachine::OnReset(const Reply& reply) {
  if (!reply.ok()) return End(Later("RSET was refused: " + ReplyText(reply)));
  open_ = false;
  BeginMail();
}

void ClientMachine::SendWish(const ClientMessage::Wish& wish) {
  if (wish.notify.said) output_ += " NOTIFY=" + queue::FormatNotify(wish.notify);
  if (!wish.original.empty()) output_ += " ORCPT=" + wish.original;
}

void ClientMachine::OnMail(const Reply& reply) {
  spoke_ = true;
  if (!reply.ok()) {
    // Answers to pipelined RCPTs are on their way: not worth to wait for.
    return sent_ > 0 ? End(reply) : Rest(reply, false);
  }
  stage_ = Stage::kRecipients;
  if (!pipelining_) SendRecipients();
}

void ClientMachine::OnRecipient(const Reply& reply) {
  if (reply.ok()) {
    accepted_.push_back(answered_);
  } else {
    replies_[answered_] = reply;
  }
  if (++answered_ == message_.recipients.size()) return AskedAll();
  if (!pipelining_) SendRecipients();
}

void ClientMachine::AskedAll() {
  if (accepted_.empty()) return Rest({}, true);
  output_ += "DATA\r\n";
  stage_ = Stage::kData;
}

void ClientMachine::OnData(const Reply& reply) {
  if (reply.code == 354) {
    stage_ = Stage::kContent;
    return;
  }
  if (reply.code / 100 >= 4) return Rest(reply, true);
  End(Later("an answer to DATA that is none: " + ReplyText(reply)));
}

void ClientMachine::ContentSent() {
  if (stage_ == Stage::kContent) stage_ = Stage::kFinal;
}

// SMTP answers once for all, LMTP once for each that was accepted (RFC 2033 section 4.2).
void ClientMachine::OnFinal(const Reply& reply) {
  if (reply.code / 100 == 3) return End(Later("an answer that is none: " + ReplyText(reply)));
  if (options_.protocol == Protocol::kSmtp) return Rest(reply, false);
  replies_[accepted_[final_]] = reply;
  if (++final_ == accepted_.size()) Rest({}, false);
}

void ClientMachine::ConnectionLost(std::string_view reason) {
  tls_failed_ = stage_ == Stage::kHandshake;
  if (stage_ == Stage::kReady) stage_ = Stage::kDone;
  if (stage_ != Stage::kDone) End(Later(reason));
}

void ClientMachine::Settle(const Reply& reply) {
  for (Reply& mine : replies_) {
    if (mine.code == 0) mine = reply;
  }
}

void ClientMachine::End(const Reply& reply) {
  Settle(reply);
  Quit();
}

void ClientMachine::Rest(const Reply& reply, bool open) {
  Settle(reply);
  open_ = open;
  // An answer that nobody asked for would be taken for the next message's.
  if (!reader_.empty()) return Quit();
  stage_ = Stage::kReady;
}

}  // namespace prov::smtp
