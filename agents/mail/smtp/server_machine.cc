#include "agents/mail/smtp/server_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/mail_address.h"

namespace prov::smtp {
namespace {

enum class Argument { kNone, kOptional, kRequired };
enum Speaks : unsigned { kOverSmtp = 1, kOverLmtp = 2, kOverBoth = 3 };

const Reply kSyntax = {501, "5.5.2", "syntax error"};
const Reply kNotKnown = {500, "5.5.2", "command not known"};
const Reply kTooManyErrors = {421, "4.7.0", "too many errors", true};

// Whether nobody can tell what the octets behind the line are: a chunk's may look like commands.
bool IsSpoiltBdat(std::string_view line) { return FoldAddress(line.substr(0, 4)) == "bdat"; }

bool HasControls(std::string_view line) {
  return std::any_of(line.begin(), line.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

}  // namespace

// One row for each verb.
struct ServerMachine::Command {
  std::string_view verb;
  void (ServerMachine::*handle)(std::string_view argument);
  Speaks speaks;
  State from, to;  // states it is allowed in
  Argument argument;
  bool last_of_group;  // RFC 2920 section 3.1: nothing may be sent behind it before it is answered
};

const ServerMachine::Command ServerMachine::kCommands[] = {
    {"HELO", &ServerMachine::Hello, kOverSmtp, State::kGreeted, State::kChunks, Argument::kRequired, true},
    {"EHLO", &ServerMachine::ExtendedHello, kOverSmtp, State::kGreeted, State::kChunks, Argument::kRequired,
     true},
    {"LHLO", &ServerMachine::ExtendedHello, kOverLmtp, State::kGreeted, State::kChunks, Argument::kRequired,
     true},
    {"AUTH", &ServerMachine::Auth, kOverSmtp, State::kReady, State::kReady, Argument::kRequired, false},
    {"XCLIENT", &ServerMachine::Xclient, kOverSmtp, State::kGreeted, State::kReady, Argument::kRequired,
     true},
    {"MAIL", &ServerMachine::Mail, kOverBoth, State::kReady, State::kReady, Argument::kRequired, false},
    {"RCPT", &ServerMachine::Rcpt, kOverBoth, State::kMail, State::kRecipients, Argument::kRequired, false},
    {"DATA", &ServerMachine::Data, kOverBoth, State::kMail, State::kRecipients, Argument::kNone, true},
    // Its argument tells where commands go on: whatever is wrong with it is Bdat's to see.
    {"BDAT", &ServerMachine::Bdat, kOverBoth, State::kGreeted, State::kChunks, Argument::kOptional, false},
    {"RSET", &ServerMachine::Rset, kOverBoth, State::kGreeted, State::kChunks, Argument::kNone, false},
    {"NOOP", &ServerMachine::Noop, kOverBoth, State::kGreeted, State::kChunks, Argument::kOptional, false},
    {"VRFY", &ServerMachine::Vrfy, kOverBoth, State::kGreeted, State::kChunks, Argument::kRequired, false},
    {"QUIT", &ServerMachine::Quit, kOverBoth, State::kGreeted, State::kChunks, Argument::kNone, false},
    {"STARTTLS", &ServerMachine::StartTls, kOverBoth, State::kReady, State::kReady, Argument::kNone, true},
    // Browsers and proxies that were sent here to speak for somebody.
    {"GET", &ServerMachine::Foreign, kOverBoth, State::kGreeted, State::kChunks, Argument::kOptional, false},
    {"POST", &ServerMachine::Foreign, kOverBoth, State::kGreeted, State::kChunks, Argument::kOptional, false},
    {"PUT", &ServerMachine::Foreign, kOverBoth, State::kGreeted, State::kChunks, Argument::kOptional, false},
    {"HEAD", &ServerMachine::Foreign, kOverBoth, State::kGreeted, State::kChunks, Argument::kOptional, false},
    {"OPTIONS", &ServerMachine::Foreign, kOverBoth, State::kGreeted, State::kChunks, Argument::kOptional,
     false},
    {"CONNECT", &ServerMachine::Foreign, kOverBoth, State::kGreeted, State::kChunks, Argument::kOptional,
     false},
};

ServerMachine::ServerMachine(ServerOptions options) : options_(std::move(options)) {}

void ServerMachine::Greet() {
  Say({220, "", fmt::format("{} {}", options_.hostname, lmtp() ? "LMTP" : "ESMTP")});
}

void ServerMachine::Reject(const Reply& reply) {
  Say(reply);
  state_ = State::kClosed;
}

void ServerMachine::Say(const Reply& reply) {
  output_ += FormatReply(reply);
  if (reply.close) state_ = State::kClosed;
}

void ServerMachine::Error(const Reply& reply) {
  Say(reply);
  if (++errors_ >= kHardErrors && state_ != State::kClosed) Say(kTooManyErrors);
}

Event ServerMachine::Next() {
  for (;;) {
    if (!events_.empty()) {
      Event event = std::move(events_.front());
      events_.erase(events_.begin());
      asked_ = event.kind;
      return event;
    }
    if (state_ == State::kClosed) return {Event::Kind::kClose};
    if (state_ == State::kContent) {
      Event event = NextContent();
      if (event.kind != Event::Kind::kContent || !event.text.empty()) return event;
      continue;
    }
    CommandLines::Line line = lines_.Next();
    if (line.kind == CommandLines::Kind::kNone) return {Event::Kind::kNeedInput};
    HandleLine(line);
  }
}

void ServerMachine::HandleLine(CommandLines::Line& line) {
  if (sasl_) return ContinueAuth(line);
  switch (line.kind) {
    case CommandLines::Kind::kTooLong:
      return Error({500, "5.5.2", fmt::format("a line has {} octets at most", kMaxCommandOctets),
                    IsSpoiltBdat(line.text)});
    case CommandLines::Kind::kBareLf:
      return Error({500, "5.5.2", "lines end in CRLF", IsSpoiltBdat(line.text)});
    default:
      Dispatch(line.text);
      if (options_.submission) auth::Wipe(line.text);  // AUTH may have brought a password
  }
}

void ServerMachine::Dispatch(std::string_view line) {
  const size_t blank = line.find(' ');
  const std::string_view word = line.substr(0, blank);
  std::string_view argument = blank == line.npos ? std::string_view() : line.substr(blank + 1);
  while (!argument.empty() && argument.back() == ' ') argument.remove_suffix(1);
  const std::string verb = FoldAddress(word);
  const Command* command = std::find_if(std::begin(kCommands), std::end(kCommands), [&](const Command& row) {
    return FoldAddress(row.verb) == verb && (row.speaks & (lmtp() ? kOverLmtp : kOverSmtp)) != 0;
  });
  if (HasControls(line)) return Error({501, "5.5.2", "control characters in a command", IsSpoiltBdat(line)});
  if (command == std::end(kCommands)) return Error(kNotKnown);
  if (command->last_of_group && !lines_.rest().empty()) {
    // What was sent blindly might be a message that would be taken for commands.
    return Error({554, "5.5.0", "wait for the reply before you send more", true});
  }
  if (command->argument == Argument::kNone && !argument.empty()) return Error(kSyntax);
  if (command->argument == Argument::kRequired && argument.empty()) return Error(kSyntax);
  if (state_ < command->from || state_ > command->to) return Error({503, "5.5.1", "not now"});
  (this->*command->handle)(argument);
}

void ServerMachine::Hello(std::string_view argument) {
  // A mail program names a computer as its owner did, and the login is what counts.
  if (!IsHelloArgument(argument) && !options_.submission)
    return Error({501, "5.5.4", "that is no name of a host"});
  EndTransaction();
  hello_ = Printable(argument, kMaxHelloOctets);
  extended_ = false;
  events_.push_back({.kind = Event::Kind::kHello, .text = hello_});
}

void ServerMachine::ExtendedHello(std::string_view argument) {
  Hello(argument);
  if (!events_.empty() && events_.back().kind == Event::Kind::kHello) extended_ = true;
}

// RFC 5321 section 4.1.1.1: the extensions, RFC 2920, 1870, 6152, 2034, 3030, 6531, 3461, 3207 and 4954.
std::string ServerMachine::HelloReply() const {
  if (!extended_) return FormatReply({250, "", options_.hostname});
  std::vector<std::string> lines = {options_.hostname,
                                    "PIPELINING",
                                    fmt::format("SIZE {}", options_.max_message_octets),
                                    "8BITMIME",
                                    "ENHANCEDSTATUSCODES",
                                    "CHUNKING",
                                    "SMTPUTF8",
                                    "DSN"};
  if (options_.tls == net::TlsUse::kOnDemand && !secure_) lines.push_back("STARTTLS");
  if (options_.submission && secure_ && !logged_in_) lines.push_back("AUTH PLAIN LOGIN");
  if (options_.xclient) lines.push_back("XCLIENT ADDR PORT HELO");
  return FormatReply(250, lines);
}

// RFC 4954 section 4.
void ServerMachine::Auth(std::string_view argument) {
  if (!options_.submission) return Error({502, "5.5.1", "there is no login here"});
  if (!secure_) return Error({538, "5.7.11", "a login needs TLS: begin with STARTTLS"});
  if (logged_in_) return Error({503, "5.5.1", "you are logged in"});
  const size_t blank = argument.find(' ');
  sasl_ = auth::SaslExchange::Begin(argument.substr(0, blank));
  if (!sasl_) return Error({504, "5.5.4", "mechanisms are PLAIN and LOGIN"});
  std::optional<std::string_view> initial;
  if (blank != argument.npos) initial = argument.substr(blank + 1);
  OnAuthStep(sasl_->Start(initial));
}

void ServerMachine::ContinueAuth(CommandLines::Line& line) {
  using Kind = CommandLines::Kind;
  const bool too_long = line.kind == Kind::kTooLong;
  if (line.kind != Kind::kLine || line.text == "*") {
    sasl_.reset();
    return Error(too_long ? Reply{500, "5.5.6", "the response is too long"}
                          : Reply{501, "5.7.0", "given up"});
  }
  const auth::SaslExchange::Step step = sasl_->Respond(line.text);
  auth::Wipe(line.text);
  OnAuthStep(step);
}

void ServerMachine::OnAuthStep(auth::SaslExchange::Step step) {
  using Step = auth::SaslExchange::Step;
  if (step == Step::kChallenge) {
    output_ += fmt::format("334 {}\r\n", sasl_->challenge());
    return;
  }
  auth::SaslExchange exchange = *std::exchange(sasl_, std::nullopt);
  if (step == Step::kMalformed) return Error({501, "5.5.2", "the response is malformed"});
  if (step == Step::kOnBehalf) return Error({535, "5.7.8", "nobody logs in for another"});
  Event login{.kind = Event::Kind::kLogin, .text = exchange.login()};
  login.password = exchange.TakePassword();
  events_.push_back(std::move(login));
}

void ServerMachine::Xclient(std::string_view argument) {
  if (!options_.xclient) return Error({550, "5.7.0", "you are not trusted to say who the client is"});
  Reply refusal;
  auto client = ParseXclient(argument, &refusal);
  if (!client) return Error(refusal);
  events_.push_back({.kind = Event::Kind::kXclient, .client = *std::move(client)});
}

void ServerMachine::Mail(std::string_view argument) {
  if (options_.submission && !logged_in_) {
    return Error({530, "5.7.0", secure_ ? "log in first" : "begin with STARTTLS, and log in"});
  }
  Reply refusal;
  auto mail = ParseMail(argument, {.auth = options_.submission}, &refusal);
  if (!mail) return Error(refusal);
  utf8_ = mail->utf8;
  if (mail->size > options_.max_message_octets) return Error({552, "5.3.4", "the message is too large"});
  events_.push_back({.kind = Event::Kind::kMail, .mail = *std::move(mail)});
}

void ServerMachine::Rcpt(std::string_view argument) {
  if (recipients_ >= kMaxRecipients) return Say({452, "4.5.3", "too many recipients"});
  Reply refusal;
  auto recipient = ParseRecipient(argument, {.utf8 = utf8_}, &refusal);
  if (!recipient) return Error(refusal);
  events_.push_back({.kind = Event::Kind::kRecipient, .recipient = *std::move(recipient)});
}

void ServerMachine::Data(std::string_view) {
  if (recipients_ == 0) return Error({503, "5.5.1", "no valid recipients"});
  chunked_ = false;
  events_.push_back({.kind = Event::Kind::kData});
}

// RFC 3030 section 2: the octets follow whatever the answer will be, and are never taken for commands.
void ServerMachine::Bdat(std::string_view argument) {
  const auto chunk = ParseBdat(argument);
  if (!chunk) return Error({501, "5.5.4", "the argument is octets [LAST]", true});
  if (state_ != State::kChunks) chunks_ = ChunkReader();
  chunks_.Begin(chunk->octets, chunk->last);
  chunked_ = true;
  if (state_ == State::kChunks) {
    state_ = State::kContent;
  } else if (recipients_ > 0) {
    events_.push_back({.kind = Event::Kind::kData});
  } else {
    RefuseChunk({503, "5.5.1", "no valid recipients"}, state_);
  }
}

// Its octets go nowhere, and then it is told.
void ServerMachine::RefuseChunk(const Reply& reply, State after) {
  excess_octets_ = 0;
  content_refusal_ = reply;
  after_chunk_ = after;
  state_ = State::kContent;
}

void ServerMachine::Rset(std::string_view) {
  EndTransaction();
  Say({250, "2.0.0", "forgotten"});
}

void ServerMachine::Noop(std::string_view) { Say({250, "2.0.0", "so be it"}); }

// RFC 5321 section 7.3: who is here is not told.
void ServerMachine::Vrfy(std::string_view) { Say({252, "2.5.0", "send mail and see"}); }

void ServerMachine::Quit(std::string_view) {
  EndTransaction();
  Say({221, "2.0.0", fmt::format("{} closes", options_.hostname), true});
}

void ServerMachine::StartTls(std::string_view) {
  if (secure_) return Error({503, "5.5.1", "TLS is in use already"});
  if (options_.tls != net::TlsUse::kOnDemand) return Error({502, "5.5.1", "there is no TLS here"});
  Say({220, "2.0.0", "begin"});
  events_.push_back({.kind = Event::Kind::kStartTls});
}

void ServerMachine::Secured() {
  secure_ = true;
  extended_ = logged_in_ = false;
  sasl_.reset();
  hello_.clear();
  lines_ = CommandLines();
  asked_ = Event::Kind::kNeedInput;
  state_ = State::kGreeted;
}

void ServerMachine::Foreign(std::string_view) { Error({554, "5.7.0", "this is a mail server", true}); }

void ServerMachine::EndTransaction() {
  if (state_ >= State::kMail && state_ <= State::kChunks) events_.push_back({.kind = Event::Kind::kReset});
  if (state_ > State::kReady) state_ = State::kReady;
  recipients_ = 0;
}

void ServerMachine::Answer(const Reply& reply) {
  const Event::Kind asked = std::exchange(asked_, Event::Kind::kNeedInput);
  if (asked == Event::Kind::kData && chunked_ && !reply.ok()) {
    // The next chunk would be taken for the beginning of the message.
    const size_t recipients = recipients_;
    EndTransaction();
    recipients_ = recipients;  // each of whom has an answer over LMTP, if this is the last chunk
    return RefuseChunk(reply, State::kReady);
  }
  // A relay's recipients are guessed at by dictionary; a store's come from a relay that asked before.
  const bool counts = reply.permanent() && !(lmtp() && asked == Event::Kind::kRecipient);
  if (!reply.ok()) return counts ? Error(reply) : Say(reply);
  switch (asked) {
    case Event::Kind::kHello:
      output_ += HelloReply();
      state_ = State::kReady;
      return;
    case Event::Kind::kLogin:
      logged_in_ = true;
      break;
    case Event::Kind::kXclient:
      // The README of XCLIENT: what follows is the new client's session, from the greeting on.
      state_ = State::kGreeted;
      hello_.clear();
      extended_ = false;
      break;
    case Event::Kind::kMail:
      state_ = State::kMail;
      break;
    case Event::Kind::kRecipient:
      ++recipients_;
      state_ = State::kRecipients;
      break;
    case Event::Kind::kData:
      state_ = State::kContent;
      reader_ = DataReader();
      scanner_ = HeaderScanner();
      message_octets_ = excess_octets_ = 0;
      header_told_ = false;
      content_refusal_ = {};
      if (chunked_) return;
      break;
    default:
      break;
  }
  Say(reply);
}

void ServerMachine::AnswerMessage(const std::vector<Reply>& replies) {
  asked_ = Event::Kind::kNeedInput;
  state_ = State::kReady;
  recipients_ = 0;
  bool refused = false;
  for (const Reply& reply : replies) {
    Say(reply);
    refused |= reply.permanent();
  }
  if (!refused) {
    errors_ = 0;
  } else if (!lmtp() && ++errors_ >= kHardErrors && state_ != State::kClosed) {
    Say(kTooManyErrors);
  }
}

}  // namespace prov::smtp
