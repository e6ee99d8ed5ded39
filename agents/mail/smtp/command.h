// Command lines of SMTP and LMTP, and the arguments of MAIL and RCPT. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agents/mail/queue/message_format.h"
#include "agents/mail/smtp/path.h"
#include "agents/mail/smtp/reply.h"

namespace prov::smtp {

constexpr size_t kMaxCommandOctets = 2048;  // with CRLF; RFC 5321 section 4.5.3.1.4 asks for 512 at least
constexpr size_t kMaxHelloOctets = 255;

// Cuts the input into lines. Keeps at most what was appended.
class CommandLines {
 public:
  enum class Kind {
    kNone,  // no whole line yet
    kLine,
    kTooLong,  // is being skipped to its end; said once a line
    kBareLf,   // ended without CR
  };
  struct Line {
    Kind kind = Kind::kNone;
    std::string text;  // without CRLF; of what is no command line, its first four octets
  };

  void Append(std::string_view octets) { buffer_ += octets; }
  Line Next();

  // What no line was made of yet.
  std::string_view rest() const { return buffer_; }
  void Skip(size_t octets) { buffer_.erase(0, octets); }

 private:
  std::string buffer_;
  bool skipping_ = false;
};

// Which parameters are taken.
struct Parameters {
  bool auth = false;  // RFC 4954 section 5
  bool utf8 = false;  // RCPT alone: MAIL said SMTPUTF8 (RFC 6531)
};

struct MailCommand {
  Path sender;
  uint64_t size = 0;       // as declared, RFC 1870; 0: not
  bool eight_bit = false;  // BODY=8BITMIME, RFC 6152
  bool utf8 = false;       // SMTPUTF8
  queue::Return returned = queue::Return::kUnsaid;
  std::string envelope_id = {};  // ENVID, xtext
};

// "FROM:<path> parameters". Otherwise `*refusal` says why not.
std::optional<MailCommand> ParseMail(std::string_view argument, const Parameters& takes, Reply* refusal);

struct RecipientCommand {
  Path path;
  queue::Notify notify;
  std::string original = {};  // ORCPT: "rfc822;" and xtext
};

// "TO:<path> parameters".
std::optional<RecipientCommand> ParseRecipient(std::string_view argument, const Parameters& takes,
                                               Reply* refusal);

// Who the client is, as a host before us says: postfix.org/XCLIENT_README.html.
struct XclientCommand {
  // "192.0.2.1", "2001:db8::1"; empty: the client has none that could be told; nothing: not said.
  std::optional<std::string> address;
  uint16_t port = 0;
  std::string hello = {};  // empty: not said
};

// "NAME=value …". Attributes that are no use here are read and passed over.
std::optional<XclientCommand> ParseXclient(std::string_view argument, Reply* refusal);

struct BdatCommand {
  uint64_t octets = 0;
  bool last = false;
};

// "octets [LAST]", RFC 3030 section 2. Nothing: how much of what follows is text cannot be told.
std::optional<BdatCommand> ParseBdat(std::string_view argument);

// Whether it may stand for a host in HELO: no blanks, no control characters. Beyond ASCII are the names that
// some give their computers.
bool IsHelloArgument(std::string_view argument);

}  // namespace prov::smtp
