// The server's side of SMTP (RFC 5321), submission (RFC 6409) and LMTP (RFC 2033) without I/O: octets in,
// replies and events out.
//
//   for (;;) switch (Event event = machine.Next(); event.kind) { … }
//
// After kHello, kLogin, kXclient, kMail, kRecipient and kData the caller calls Answer, after kMessageEnd
// AnswerMessage and after kStartTls Secured, before it asks for the next event; input that came meanwhile
// (pipelining) waits. Replies gather in the output, which the caller sends before it waits for input and
// before it closes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agents/mail/auth/sasl.h"
#include "agents/mail/auth/secret.h"
#include "agents/mail/net/tls_use.h"
#include "agents/mail/smtp/chunk_reader.h"
#include "agents/mail/smtp/command.h"
#include "agents/mail/smtp/data_reader.h"
#include "agents/mail/smtp/header_scanner.h"
#include "agents/mail/smtp/path.h"
#include "agents/mail/smtp/reply.h"

namespace prov::smtp {

enum class Protocol { kSmtp, kLmtp };

constexpr int kSoftErrors = 10;          // from here on replies are slow
constexpr int kHardErrors = 20;          // and here it ends
constexpr size_t kMaxRecipients = 1000;  // of one message
// What our relay adds to a message it took: the store takes so much more than the relay does.
constexpr size_t kRelayHeaderOctets = 4096;
constexpr int kRelayReceivedLines = 1;
// A client that goes on far beyond the size it was told is cut off.
constexpr uint64_t kMostExcessOctets = 64 << 20;

struct ServerOptions {
  Protocol protocol = Protocol::kSmtp;
  std::string hostname;
  uint64_t max_message_octets = 0;
  net::TlsUse tls = net::TlsUse::kNone;
  bool submission = false;  // mail is taken after a login (RFC 4954) alone, and a login inside TLS alone
  bool xclient = false;     // the peer may say who the client is
};

struct Event {
  enum class Kind {
    kNeedInput,   // send the output, then call Input
    kHello,       // `text`: the client's name
    kLogin,       // `text` and `password`; 235 takes it
    kXclient,     // `client`; 220 begins the session anew
    kMail,        // `mail`: a transaction begins
    kRecipient,   // `recipient`
    kData,        // the message is to come, by DATA or BDAT; a 354 takes it
    kContent,     // `text`: a piece of the message
    kHeaderEnd,   // what facts() says of the header is whole now
    kMessageEnd,  // all of it came, and nothing is wrong with it
    kReset,       // the transaction is over without a message
    kStartTls,    // send the output and shake hands, or close
    kClose,       // send the output and close
  };
  Kind kind = Kind::kNeedInput;
  std::string text;
  auth::Secret password;
  XclientCommand client;
  MailCommand mail;
  RecipientCommand recipient;
};

// Not thread-safe.
class ServerMachine {
 public:
  explicit ServerMachine(ServerOptions options);

  void Greet();
  // Instead of Greet: why there is no service. Closes.
  void Reject(const Reply& reply);

  void Input(std::string_view octets) { lines_.Append(octets); }
  Event Next();
  std::string TakeOutput() { return std::move(output_); }

  // The handshake is done: all that was said in clear is forgotten, and what came with it unread (RFC 3207
  // section 4.2).
  void Secured();

  void Answer(const Reply& reply);
  // One reply; over LMTP one for each recipient that was accepted, in their order.
  void AnswerMessage(const std::vector<Reply>& replies);

  // After so many errors each reply should take its time.
  bool slow() const { return errors_ > kSoftErrors; }
  // Inside a transaction, or in the middle of a command.
  bool busy() const { return state_ >= State::kMail || !lines_.rest().empty(); }
  // Inside the text of a message or a chunk, also when it is refused already.
  bool in_message() const { return state_ == State::kContent; }
  const HeaderFacts& facts() const { return scanner_.facts(); }
  uint64_t message_octets() const { return message_octets_; }  // content so far
  bool extended() const { return extended_; }                  // EHLO or LHLO, not HELO

 private:
  enum class State {
    kGreeted,
    kReady,
    kMail,
    kRecipients,
    kChunks,   // between two chunks of a message
    kContent,  // in the text of a message, or of a chunk
    kClosed,
  };
  struct Command;
  static const Command kCommands[];

  bool lmtp() const { return options_.protocol == Protocol::kLmtp; }
  void Say(const Reply& reply);
  void Error(const Reply& reply);
  void HandleLine(CommandLines::Line& line);
  void Dispatch(std::string_view line);
  Event NextContent();
  size_t ReadContent(std::string& text);
  void CheckContent();
  void EndContent();
  void EndChunk();
  void RefuseChunk(const Reply& reply, State after);
  void RefuseContent(const Reply& reply);
  std::string HelloReply() const;
  void EndTransaction();

  void Hello(std::string_view argument);
  void ExtendedHello(std::string_view argument);
  void Auth(std::string_view argument);
  void ContinueAuth(CommandLines::Line& line);
  void OnAuthStep(auth::SaslExchange::Step step);
  void Xclient(std::string_view argument);
  void Mail(std::string_view argument);
  void Rcpt(std::string_view argument);
  void Data(std::string_view argument);
  void Bdat(std::string_view argument);
  void Rset(std::string_view argument);
  void Noop(std::string_view argument);
  void Vrfy(std::string_view argument);
  void Quit(std::string_view argument);
  void StartTls(std::string_view argument);
  void Foreign(std::string_view argument);

  const ServerOptions options_;
  CommandLines lines_;
  State state_ = State::kGreeted;
  std::string output_;
  std::vector<Event> events_;  // to be handed out, first first
  Event::Kind asked_ = Event::Kind::kNeedInput;
  std::string hello_;
  bool extended_ = false;
  bool secure_ = false;
  bool logged_in_ = false;
  std::optional<auth::SaslExchange> sasl_;  // the next line goes to it
  bool utf8_ = false;                       // of the transaction
  int errors_ = 0;
  size_t recipients_ = 0;  // accepted

  DataReader reader_;
  ChunkReader chunks_;
  bool chunked_ = false;                 // the message comes by BDAT
  State after_chunk_ = State::kGreeted;  // that is refused
  HeaderScanner scanner_;
  uint64_t message_octets_ = 0;
  uint64_t excess_octets_ = 0;
  bool header_told_ = false;
  Reply content_refusal_;  // code 0: none yet
};

}  // namespace prov::smtp
