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
    const CommandLines::Line line = lines_.Next();
    if (line.kind == CommandLines::Kind::kNone) return {Event::Kind::kNeedInput};
    HandleLine(line);
  }
}

void ServerMachine::HandleLine(const CommandLines::Line& line) {
  switch (line.kind) {
    case CommandLines::Kind::kTooLong:
      return Error({500, "5.5.2", fmt::format("a line has {} octets at most", kMaxCommandOctets),
                    IsSpoiltBdat(line.text)});
    case CommandLines::Kind::kBareLf:
      return Error({500, "5.5.2", "lines end in CRLF", IsSpoiltBdat(line.text)});
    default:
      return Dispatch(line.text);
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
  if (!IsHelloArgument(argument)) return Error({501, "5.5.4", "that is no name of a host"});
  EndTransaction();
  hello_ = std::string(argument);
  extended_ = false;
  events_.push_back({.kind = Event::Kind::kHello, .text = hello_});
}

void ServerMachine::ExtendedHello(std::string_view argument) {
  Hello(argument);
  if (!events_.empty() && events_.back().kind == Event::Kind::kHello) extended_ = true;
}

// RFC 5321 section 4.1.1.1: the extensions, RFC 2920, 1870, 6152, 2034, 3030 and 3207.
std::string ServerMachine::HelloReply() const {
  if (!extended_) return FormatReply({250, "", options_.hostname});
  std::vector<std::string> lines = {
      options_.hostname, "PIPELINING",          fmt::format("SIZE {}", options_.max_message_octets),
      "8BITMIME",        "ENHANCEDSTATUSCODES", "CHUNKING"};
  if (options_.tls == net::TlsUse::kOnDemand && !secure_) lines.push_back("STARTTLS");
  return FormatReply(250, lines);
}

void ServerMachine::Mail(std::string_view argument) {
  Reply refusal;
  auto mail = ParseMail(argument, &refusal);
  if (!mail) return Error(refusal);
  if (mail->size > options_.max_message_octets) return Error({552, "5.3.4", "the message is too large"});
  events_.push_back({.kind = Event::Kind::kMail, .mail = *std::move(mail)});
}

void ServerMachine::Rcpt(std::string_view argument) {
  if (recipients_ >= kMaxRecipients) return Say({452, "4.5.3", "too many recipients"});
  Reply refusal;
  auto recipient = ParseRecipient(argument, &refusal);
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
  extended_ = false;
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

// The message is refused at its end, and the rest of it goes nowhere.
void ServerMachine::RefuseContent(const Reply& reply) {
  content_refusal_ = reply;
  after_chunk_ = State::kReady;
  events_.push_back({.kind = Event::Kind::kReset});
}

size_t ServerMachine::ReadContent(std::string& text) {
  if (!chunked_) return reader_.Read(lines_.rest(), text);
  return chunks_.Read(lines_.rest(), text);
}

Event ServerMachine::NextContent() {
  // A chunk may be empty.
  if (lines_.rest().empty() && !(chunked_ && chunks_.chunk_ended())) return {Event::Kind::kNeedInput};
  Event content{.kind = Event::Kind::kContent};
  const size_t taken = ReadContent(content.text);
  lines_.Skip(taken);
  const bool text_ended = chunked_ ? chunks_.chunk_ended() && chunks_.last() : reader_.ended();
  if (content_refusal_.code != 0) {
    content.text.clear();
    excess_octets_ += taken;
    if (excess_octets_ > kMostExcessOctets) content_refusal_.close = true;
  } else {
    message_octets_ += content.text.size();
    scanner_.Feed(content.text);
    if (text_ended) scanner_.Finish();
    CheckContent();
  }
  if (content_refusal_.code != 0) content.text.clear();
  if (scanner_.ended() && !header_told_ && content_refusal_.code == 0) {
    header_told_ = true;
    events_.push_back({.kind = Event::Kind::kHeaderEnd});
  }
  if (chunked_ && (chunks_.chunk_ended() || content_refusal_.close)) {
    EndChunk();
  } else if (text_ended || content_refusal_.close) {
    EndContent();
  }
  return content;
}

void ServerMachine::CheckContent() {
  const size_t most_header_octets = kMaxHeaderOctets + (lmtp() ? kRelayHeaderOctets : 0);
  const int most_received = kMaxReceivedLines + (lmtp() ? kRelayReceivedLines : 0);
  const ContentFault fault = chunked_ ? chunks_.fault() : reader_.fault();
  if (fault == ContentFault::kBareLineEnd) {
    RefuseContent({554, "5.6.0", "the message has a CR or LF by itself"});
  } else if (fault == ContentFault::kNul) {
    RefuseContent({554, "5.6.0", "the message has a NUL"});
  } else if (message_octets_ > options_.max_message_octets) {
    RefuseContent({552, "5.3.4", "the message is too large"});
  } else if (scanner_.facts().octets > most_header_octets) {
    RefuseContent({552, "5.3.4", "the header is too large"});
  } else if (scanner_.facts().received >= most_received) {
    RefuseContent({554, "5.4.6", "the message goes in a circle: too many Received lines"});
  }
}

void ServerMachine::EndContent() {
  if (content_refusal_.code == 0) {
    events_.push_back({.kind = Event::Kind::kMessageEnd});
    return;
  }
  asked_ = Event::Kind::kMessageEnd;
  AnswerMessage(std::vector<Reply>(lmtp() ? recipients_ : 1, content_refusal_));
}

void ServerMachine::EndChunk() {
  if (content_refusal_.code == 0) {
    if (chunks_.last()) return EndContent();
    state_ = State::kChunks;
    return Say({250, "2.0.0", fmt::format("{} octets", chunks_.chunk_octets())});
  }
  if (chunks_.last() && recipients_ > 0) return EndContent();
  // More chunks may be on their way: without a transaction they are refused one by one.
  state_ = after_chunk_;
  recipients_ = 0;
  Error(content_refusal_);
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
