#include "agents/mail/pop3/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

namespace prov::pop3 {
namespace {

constexpr size_t kMaxWordsOctets =
    400;  // of a line we pass on; a response has at most 512 (RFC 2449 section 4)
constexpr uint64_t kMostLines = std::numeric_limits<uint64_t>::max();

constexpr char kCapabilities[] =
    "+OK Capabilities follow\r\n"
    "TOP\r\n"
    "USER\r\n"
    "UIDL\r\n"
    "RESP-CODES\r\n"
    "AUTH-RESP-CODE\r\n"
    "PIPELINING\r\n"
    "IMPLEMENTATION prov\r\n";

// Digits only. Too large for 64 bits is the largest: there is no such message, and no more lines than that.
std::optional<uint64_t> ParseNumber(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc::result_out_of_range ? kMostLines : value;
}

std::string_view WithoutTrailingSpaces(std::string_view text) {
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

}  // namespace

enum class Argument { kNone, kOptional, kRequired, kRaw };

// One row per verb.
struct Machine::Command {
  std::string_view verb;
  void (Machine::*handler)(std::string_view argument);
  bool in_authorisation;
  bool in_transaction;
  Argument argument;  // kRaw: required, and spaces are part of it
};

const Machine::Command Machine::kCommands[] = {
    {"CAPA", &Machine::Capa, true, true, Argument::kNone},
    {"USER", &Machine::User, true, false, Argument::kRequired},
    {"PASS", &Machine::Pass, true, false, Argument::kRaw},
    {"QUIT", &Machine::Quit, true, true, Argument::kNone},
    {"STAT", &Machine::Stat, false, true, Argument::kNone},
    {"LIST", &Machine::List, false, true, Argument::kOptional},
    {"UIDL", &Machine::Uidl, false, true, Argument::kOptional},
    {"RETR", &Machine::Retr, false, true, Argument::kRequired},
    {"TOP", &Machine::Top, false, true, Argument::kRequired},
    {"DELE", &Machine::Dele, false, true, Argument::kRequired},
    {"RSET", &Machine::Rset, false, true, Argument::kNone},
    {"NOOP", &Machine::Noop, false, true, Argument::kNone},
    {"STLS", &Machine::Stls, true, false, Argument::kNone},
    {"AUTH", &Machine::Auth, true, false, Argument::kOptional},
};

Machine::Machine(std::string_view server, net::TlsUse tls) : tls_(tls) {
  Reply(fmt::format("+OK {} POP3 ready", server));
}

Step Machine::Next() {
  for (;;) {
    Step step;
    if (!output_.empty()) {
      step.kind = Step::Kind::kOutput;
      step.output = std::exchange(output_, std::string());
      return step;
    }
    if (asked_) {
      step = *std::move(asked_);
      asked_.reset();
      return step;
    }
    if (state_ == State::kClosing) {
      step.kind = Step::Kind::kClose;
      return step;
    }
    if (listing_ != Listing::kNone) {
      ContinueListing();
      continue;
    }
    std::optional<LineReader::Line> line = lines_.Next();
    if (line) {
      Handle(*line);
      auth::Wipe(line->text);
    } else if (lines_.IsHopeless()) {
      Reply("-ERR Line too long");
      state_ = State::kClosing;
    } else {
      return step;
    }
  }
}

void Machine::Handle(const LineReader::Line& line) {
  if (sasl_) return ContinueAuth(line);
  if (line.too_long) return Bad("Line too long");
  if (HasControl(line.text)) return Bad("Control characters are not allowed");
  const CommandLine given = SplitCommand(line.text);
  const auto* command = std::find_if(std::begin(kCommands), std::end(kCommands),
                                     [&](const Command& row) { return row.verb == given.verb; });
  if (command == std::end(kCommands)) return Bad("Unknown command");
  const bool allowed = state_ == State::kAuthorisation ? command->in_authorisation : command->in_transaction;
  if (!allowed) return Bad(state_ == State::kAuthorisation ? "Log in first" : "You are logged in already");
  const std::string_view argument =
      command->argument == Argument::kRaw ? given.argument : WithoutTrailingSpaces(given.argument);
  if (command->argument == Argument::kNone && !argument.empty()) return Bad("No argument expected");
  const bool needed = command->argument == Argument::kRequired || command->argument == Argument::kRaw;
  if (needed && argument.empty()) return Bad("Argument missing");
  (this->*command->handler)(argument);
}

void Machine::Reply(std::string_view line) {
  output_ += line;
  output_ += "\r\n";
}

void Machine::Bad(std::string_view words) {
  Reply(fmt::format("-ERR {}", words));
  const int limit = state_ == State::kAuthorisation ? kMaxBadCommandsBeforeLogin : kMaxBadCommandsAfterLogin;
  if (++bad_commands_ >= limit) state_ = State::kClosing;
}

void Machine::Capa(std::string_view) {
  output_ += kCapabilities;
  const bool may_start = tls_ == net::TlsUse::kOnDemand && !secure_ && state_ == State::kAuthorisation;
  if (may_start) Reply("STLS");
  if (secure_) Reply("SASL PLAIN");
  Reply(".");
}

void Machine::Stls(std::string_view) {
  if (secure_) return Bad("TLS is in use already");
  if (tls_ != net::TlsUse::kOnDemand) return Bad("There is no TLS here");
  // Somebody on the way may have put it there, to be obeyed inside TLS.
  if (!lines_.IsEmpty()) {
    Reply("-ERR Wait for the reply before you send more");
    state_ = State::kClosing;
    return;
  }
  Reply("+OK Begin TLS");
  Step step;
  step.kind = Step::Kind::kStartTls;
  asked_ = std::move(step);
}

void Machine::Secured() {
  secure_ = true;
  login_.clear();
  sasl_.reset();
  lines_.Clear();
}

void Machine::User(std::string_view argument) {
  login_ = argument;
  // The same answer for every name (RFC 1939 section 13).
  Reply("+OK Send the password");
}

void Machine::Pass(std::string_view argument) {
  if (login_.empty()) return Bad("USER comes first");
  Step step;
  step.kind = Step::Kind::kLogin;
  step.login = std::exchange(login_, std::string());
  step.password = auth::Secret(argument);
  asked_ = std::move(step);
}

// RFC 5034. A password in the clear is no worse than PASS's, but whoever has SASL has TLS (RFC 4616 section
// 6).
void Machine::Auth(std::string_view argument) {
  if (!secure_) return Bad("AUTH needs TLS");
  if (argument.empty()) return Reply("+OK Mechanisms follow\r\nPLAIN\r\n.");
  const size_t space = argument.find(' ');
  if (SplitCommand(argument.substr(0, space)).verb != "PLAIN") return Bad("The mechanism is PLAIN");
  sasl_ = auth::SaslExchange::Begin("PLAIN");
  std::optional<std::string_view> initial;
  if (space != argument.npos) initial = argument.substr(space + 1);
  OnAuthStep(sasl_->Start(initial));
}

void Machine::ContinueAuth(const LineReader::Line& line) {
  if (!line.too_long && line.text != "*") return OnAuthStep(sasl_->Respond(line.text));
  sasl_.reset();
  Bad(line.too_long ? "Line too long" : "Given up");
}

void Machine::OnAuthStep(auth::SaslExchange::Step step) {
  if (step == auth::SaslExchange::Step::kChallenge) return Reply(fmt::format("+ {}", sasl_->challenge()));
  auth::SaslExchange exchange = *std::exchange(sasl_, std::nullopt);
  if (step == auth::SaslExchange::Step::kMalformed) return Bad("The response is malformed");
  if (step == auth::SaslExchange::Step::kOnBehalf) return FailLogin("[AUTH] Nobody logs in for another");
  Step login;
  login.kind = Step::Kind::kLogin;
  login.login = exchange.login();
  login.password = exchange.TakePassword();
  asked_ = std::move(login);
}

void Machine::LoggedIn(const std::vector<maildir::Message>& messages) {
  state_ = State::kTransaction;
  bad_commands_ = 0;
  messages_ = &messages;
  deleted_.assign(messages.size(), false);
  kept_ = messages.size();
  kept_octets_ = 0;
  for (const maildir::Message& message : messages) kept_octets_ += message.octets;
  Reply(fmt::format("+OK {} messages ({} octets)", kept_, kept_octets_));
}

void Machine::FailLogin(std::string_view words) {
  Reply(fmt::format("-ERR {}", words));
  if (++login_failures_ >= kMaxLoginFailures) state_ = State::kClosing;
}

void Machine::LoginFailed(LoginFailure failure) {
  switch (failure) {
    case LoginFailure::kRefused:
      return FailLogin("[AUTH] Login failed");
    case LoginFailure::kTemporary:
      return FailLogin("[SYS/TEMP] Try again later");
    case LoginFailure::kInUse:
      return FailLogin("[IN-USE] Another session has the mailbox");
  }
}

void Machine::LoginRefusedWith(std::string_view words) { FailLogin(SanitiseWords(words)); }

void Machine::Quit(std::string_view) {
  Step step;
  for (size_t i = 0; i < deleted_.size(); ++i) {
    if (deleted_[i]) step.indices.push_back(i);
  }
  if (step.indices.empty()) return Removed(true);
  step.kind = Step::Kind::kRemove;
  asked_ = std::move(step);
}

void Machine::Removed(bool all) {
  Reply(all ? "+OK Bye" : "-ERR [SYS/TEMP] Some deleted messages were not removed");
  state_ = State::kClosing;
}

void Machine::Stat(std::string_view) { Reply(fmt::format("+OK {} {}", kept_, kept_octets_)); }

void Machine::List(std::string_view argument) { ListOneOrAll(argument, Listing::kOctets); }

void Machine::Uidl(std::string_view argument) { ListOneOrAll(argument, Listing::kUidl); }

void Machine::ListOneOrAll(std::string_view argument, Listing listing) {
  listing_ = listing;
  if (argument.empty()) {
    listing_next_ = 0;
    return Reply(fmt::format("+OK {} messages ({} octets)", kept_, kept_octets_));
  }
  if (const std::optional<size_t> index = MessageAt(argument)) Reply("+OK " + ListingLine(*index));
  listing_ = Listing::kNone;
}

std::string Machine::ListingLine(size_t index) const {
  const maildir::Message& message = (*messages_)[index];
  return listing_ == Listing::kOctets ? fmt::format("{} {}", index + 1, message.octets)
                                      : fmt::format("{} {}", index + 1, message.uidl);
}

void Machine::ContinueListing() {
  for (; listing_next_ < deleted_.size() && output_.size() < kListingChunkOctets; ++listing_next_) {
    if (!deleted_[listing_next_]) Reply(ListingLine(listing_next_));
  }
  if (listing_next_ < deleted_.size()) return;
  Reply(".");
  listing_ = Listing::kNone;
}

std::optional<size_t> Machine::MessageAt(std::string_view argument) {
  const std::optional<uint64_t> number = ParseNumber(argument);
  if (!number) {
    Bad("Not a message number");
  } else if (*number == 0 || *number > deleted_.size()) {
    Reply("-ERR No such message");
  } else if (deleted_[*number - 1]) {
    Reply("-ERR The message is deleted");
  } else {
    return *number - 1;
  }
  return std::nullopt;
}

void Machine::Retr(std::string_view argument) {
  const std::optional<size_t> index = MessageAt(argument);
  if (!index) return;
  Step step;
  step.kind = Step::Kind::kSend;
  step.index = *index;
  asked_ = std::move(step);
}

void Machine::Top(std::string_view argument) {
  const size_t space = argument.find(' ');
  if (space == std::string_view::npos) return Bad("TOP needs a message number and a number of lines");
  const std::optional<uint64_t> lines = ParseNumber(argument.substr(argument.find_first_not_of(' ', space)));
  if (!lines) return Bad("Not a number of lines");
  const std::optional<size_t> index = MessageAt(argument.substr(0, space));
  if (!index) return;
  Step step;
  step.kind = Step::Kind::kSend;
  step.index = *index;
  step.body_lines = lines;
  asked_ = std::move(step);
}

std::string Machine::Sending(const Step& step) const {
  if (step.body_lines) return "+OK Top of the message follows\r\n";
  return fmt::format("+OK {} octets\r\n", (*messages_)[step.index].octets);
}

void Machine::MessageGone(bool may_come_back) {
  Reply(may_come_back ? "-ERR [SYS/TEMP] The message cannot be read now" : "-ERR The message is gone");
}

void Machine::Dele(std::string_view argument) {
  const std::optional<size_t> index = MessageAt(argument);
  if (!index) return;
  deleted_[*index] = true;
  --kept_;
  kept_octets_ -= (*messages_)[*index].octets;
  Reply("+OK Deleted");
}

void Machine::Rset(std::string_view) {
  std::fill(deleted_.begin(), deleted_.end(), false);
  kept_ = deleted_.size();
  kept_octets_ = 0;
  for (const maildir::Message& message : *messages_) kept_octets_ += message.octets;
  Reply(fmt::format("+OK {} messages ({} octets)", kept_, kept_octets_));
}

void Machine::Noop(std::string_view) { Reply("+OK"); }

std::string SanitiseWords(std::string_view words) {
  std::string clean;
  for (const unsigned char c : words.substr(0, kMaxWordsOctets)) {
    if (c >= ' ' && c < 0x7f) clean += static_cast<char>(c);
  }
  return clean;
}

}  // namespace prov::pop3
