// The client's side of SMTP and LMTP without I/O: messages to one server, one after the other.
//
//   for (;;) switch (ClientStep step = machine.Next(); step.kind) { … }
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agents/mail/queue/message_format.h"
#include "agents/mail/smtp/reply.h"
#include "agents/mail/smtp/reply_reader.h"
#include "agents/mail/smtp/server_machine.h"

namespace prov::smtp {

struct ClientMessage {
  std::string sender;  // empty: null
  std::vector<std::string> recipients;
  uint64_t octets = 0;
  bool eight_bit = false;
  bool utf8 = false;  // SMTPUTF8, RFC 6531: fails for good where the server has it not
  // What the sender asked for (RFC 3461), said to servers that know of it.
  queue::Return returned = queue::Return::kUnsaid;
  std::string envelope_id = {};
  struct Wish {
    queue::Notify notify;
    std::string original;
  };
  std::vector<Wish> wishes = {};  // one for each recipient, or none
};

struct ClientOptions {
  Protocol protocol = Protocol::kSmtp;
  std::string hostname;   // ours
  bool starttls = false;  // where the server offers it (RFC 3207)
};

struct ClientStep {
  enum class Kind {
    kSend,         // write `output`
    kNeedInput,    // read for at most `timeout`, then Input; or ConnectionLost
    kSendContent,  // write the message as ContentEncoder makes it, then ContentSent; or ConnectionLost
    kStartTls,     // shake hands, then Secured; or ConnectionLost
    kDone,         // replies() are final; write `output` if you can, and close unless ready()
  };
  Kind kind = Kind::kNeedInput;
  std::string output;
  std::chrono::seconds timeout{0};
};

// Not thread-safe.
class ClientMachine {
 public:
  // With the first message.
  ClientMachine(ClientOptions options, ClientMessage message);
  // The next one, on the same connection; only when ready().
  void Begin(ClientMessage message);
  // Ends the session; only when ready().
  void Quit();

  void Input(std::string_view octets) { reader_.Append(octets); }
  ClientStep Next();
  void ContentSent();
  // The session begins anew; what the server sent behind its 220 is forgotten (RFC 3207 section 4.2).
  void Secured();
  // Whoever has no reply yet is to be tried again, for this reason.
  void ConnectionLost(std::string_view reason);

  // One for each recipient. Codes are 2xx, 4xx or 5xx.
  const std::vector<Reply>& replies() const { return replies_; }
  // The server took part: it accepted our HELO, or, when a message is not the first of its connection,
  // answered its MAIL, and not to say that it closes. Otherwise another server, or connection, may be tried
  // at once.
  bool spoke() const { return spoke_; }
  // Both sides know that this message is over, and the server waits for another.
  bool ready() const { return stage_ == Stage::kReady; }
  // The server was told what the sender asked for, and sees to it.
  bool passed_wishes_on() const { return dsn_; }
  // The connection was lost in the handshake: the same server may take it in clear.
  bool tls_failed() const { return tls_failed_; }

 private:
  enum class Stage {
    kGreeting,
    kHello,
    kStartTls,
    kHandshake,
    kReset,
    kMail,
    kRecipients,
    kData,
    kContent,
    kFinal,
    kReady,
    kDone
  };

  void Handle(const ReplyReader::Received& received);
  void OnGreeting(const Reply& reply);
  void OnHello(const ReplyReader::Received& received);
  void TakeExtensions(const std::vector<std::string>& lines);
  void OnStartTls(const Reply& reply);
  void OnReset(const Reply& reply);
  void OnMail(const Reply& reply);
  void OnRecipient(const Reply& reply);
  void OnData(const Reply& reply);
  void OnFinal(const Reply& reply);
  void SendHello();
  void BeginMail();
  void SendMail();
  void SendRecipients();
  void SendWish(const ClientMessage::Wish& wish);
  void AskedAll();
  // All recipients without a reply get this one.
  void Settle(const Reply& reply);
  // And the session is over.
  void End(const Reply& reply);
  // And another message may follow; `open`: the server still has the transaction.
  void Rest(const Reply& reply, bool open);

  const ClientOptions options_;
  ClientMessage message_;
  ReplyReader reader_;
  Stage stage_ = Stage::kGreeting;
  std::string output_;
  bool tried_helo_ = false;
  bool spoke_ = false;
  bool open_ = false;  // the server has a transaction that is to be reset (RFC 5321 section 4.1.1.5)
  bool secure_ = false, tls_failed_ = false;
  bool pipelining_ = false, size_ = false, eight_bit_ = false, starttls_ = false;
  bool utf8_ = false, dsn_ = false;
  uint64_t size_limit_ = 0;         // 0: none
  size_t sent_ = 0, answered_ = 0;  // RCPT commands
  std::vector<size_t> accepted_;    // recipients that wait for the final reply
  size_t final_ = 0;
  std::vector<Reply> replies_;
};

}  // namespace prov::smtp
