// The POP3 server's side of the protocol (RFC 1939, RFC 2449, RFC 2595, RFC 5034, RFC 6856) without I/O:
// octets in, steps out.
//
//   machine.Input(octets);
//   for (;;) switch (Step step = machine.Next(); step.kind) { … }
//
// After kLogin, kSend, kRemove and kStartTls the caller answers with the method named there before it asks
// for the next step; input that came meanwhile (pipelining) waits in the machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agents/mail/auth/sasl.h"
#include "agents/mail/auth/secret.h"
#include "agents/mail/maildir/listing.h"
#include "agents/mail/net/tls_use.h"
#include "agents/mail/pop3/command_line.h"
#include "agents/mail/pop3/xclient.h"

namespace prov::pop3 {

constexpr int kMaxLoginFailures = 3;           // in one session
constexpr int kMaxBadCommandsBeforeLogin = 3;  // unknown, malformed or out of place
constexpr int kMaxBadCommandsAfterLogin = 20;
constexpr size_t kListingChunkOctets = 16 * 1024;  // of a LIST or UIDL, which may be megabytes

enum class LoginFailure {
  kRefused,    // whatever the reason: one answer
  kTemporary,  // [SYS/TEMP], RFC 3206
  kInUse,      // [IN-USE], RFC 2449 section 8.1.2
  kTooSoon,    // [LOGIN-DELAY], RFC 2449 section 8.1.1
};

struct MachineOptions {
  // The peer's address is trusted: it may say who the client is, and AUTH needs no TLS of its own.
  bool trusted = false;
  // UTF8 and LANG (RFC 6856). A proxy leaves them out: its back end would not know what was agreed on.
  bool utf8 = false;
  // Lines of CAPA before the login, such as "EXPIRE 30 USER".
  std::vector<std::string> capabilities = {};
};

struct Step {
  enum class Kind {
    kNeedInput,  // call Input
    kOutput,     // write `output`
    kLogin,      // `login`, `password`; answer with LoggedIn, LoginFailed or LoginRefusedWith
    kSend,      // message `index`, only `body_lines` of its body if given; answer with Sending or MessageGone
    kXclient,   // `client` is who the peer stands for; the machine goes on by itself
    kRemove,    // QUIT after a login: messages `indices` are to be removed; answer with Removed
    kStartTls,  // shake hands; answer with Secured, or close
    kClose,     // the session is over
  };
  Kind kind = Kind::kNeedInput;
  std::string output;
  std::string login;
  auth::Secret password;
  size_t index = 0;
  std::optional<uint64_t> body_lines;
  std::vector<size_t> indices;
  Xclient client;
};

// Not thread-safe.
class Machine {
 public:
  // `server` names us in the greeting.
  Machine(std::string_view server, net::TlsUse tls, MachineOptions options = {});

  void Input(std::string_view octets) { lines_.Append(octets); }
  Step Next();

  // `messages` must outlive the machine. `capabilities` are those of the options for this user.
  void LoggedIn(const std::vector<maildir::Message>& messages, std::vector<std::string> capabilities = {});
  void LoginFailed(LoginFailure failure);
  // With the words of somebody else's -ERR, sanitised: the proxy's back end. Counts as a failure.
  void LoginRefusedWith(std::string_view words);

  // The caller writes this line, the message as Multiline encodes it, and then asks for the next step. If it
  // cannot go on in the middle it closes the connection: there is no way to say -ERR then.
  std::string Sending(const Step& step) const;
  void MessageGone(bool may_come_back);

  // False: some of `indices` are not removed.
  void Removed(bool all_removed);

  // All that was said in clear is forgotten, a USER too, and what came with it unread (RFC 2595 section 4).
  void Secured();

  // Octets that came after the command of the last step: the proxy's back end gets them.
  std::string TakeRest() { return lines_.TakeRest(); }

 private:
  enum class State { kAuthorisation, kTransaction, kClosing };
  enum class Listing { kNone, kOctets, kUidl };
  struct Command;
  static const Command kCommands[];

  void Handle(const LineReader::Line& line);
  void Bad(std::string_view words);
  void Reply(std::string_view line);
  void FailLogin(std::string_view words);
  std::string ListingLine(size_t index) const;
  void ContinueListing();
  bool MayAuth() const { return secure_ || options_.trusted; }
  void ListOneOrAll(std::string_view argument, Listing listing);
  // The index of message `argument` that is there and not deleted; says what is wrong otherwise.
  std::optional<size_t> MessageAt(std::string_view argument);

  void Capa(std::string_view argument);
  void User(std::string_view argument);
  void Pass(std::string_view argument);
  void Quit(std::string_view argument);
  void Stat(std::string_view argument);
  void List(std::string_view argument);
  void Uidl(std::string_view argument);
  void Retr(std::string_view argument);
  void Top(std::string_view argument);
  void Dele(std::string_view argument);
  void Rset(std::string_view argument);
  void Noop(std::string_view argument);
  void Stls(std::string_view argument);
  void Utf8(std::string_view argument);
  void Lang(std::string_view argument);
  void XclientCommand(std::string_view argument);
  void Auth(std::string_view argument);
  void ContinueAuth(const LineReader::Line& line);
  void OnAuthStep(auth::SaslExchange::Step step);

  const net::TlsUse tls_;
  MachineOptions options_;
  bool secure_ = false;
  bool utf8_ = false;  // the client said so
  LineReader lines_;
  State state_ = State::kAuthorisation;
  std::string output_;
  std::optional<Step> asked_;  // a step other than output that Next has yet to hand out
  std::string login_;
  std::optional<auth::SaslExchange> sasl_;  // the next line goes to it
  int login_failures_ = 0;
  int bad_commands_ = 0;
  const std::vector<maildir::Message>* messages_ = nullptr;
  std::vector<bool> deleted_;
  size_t kept_ = 0;           // messages not marked as deleted
  uint64_t kept_octets_ = 0;  // and their sizes
  Listing listing_ = Listing::kNone;
  size_t listing_next_ = 0;
};

// What remains of another server's words when control characters, what is not ASCII and undue length are
// gone.
std::string SanitiseWords(std::string_view words);

}  // namespace prov::pop3
