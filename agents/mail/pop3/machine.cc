#include "agents/mail/pop3/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace prov::pop3 {
namespace {

constexpr char kCapabilities[] =
    "+OK Capabilities follow\r\n"
    "TOP\r\n"
    "USER\r\n"
    "UIDL\r\n"
    "RESP-CODES\r\n"
    "AUTH-RESP-CODE\r\n"
    "PIPELINING\r\n"
    "IMPLEMENTATION prov\r\n";

// What LANG offers; the first is the one we prefer. RFC 2277 section 4.5 asks for i-default.
constexpr std::string_view kLanguages[] = {"en", "i-default"};

std::string_view WithoutTrailingSpaces(std::string_view text) {
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

// RFC 4647 section 3.4: "en-GB" falls back to "en". Empty: none of ours.
std::string_view LanguageFor(std::string_view range) {
  if (range == "*") return kLanguages[0];
  for (const std::string_view language : kLanguages) {
    const std::string_view start = range.substr(0, language.size());
    const bool whole =
        range.size() == language.size() || (range.size() > language.size() && range[language.size()] == '-');
    if (whole && absl::EqualsIgnoreCase(absl::string_view(start.data(), start.size()),
                                        absl::string_view(language.data(), language.size()))) {
      return language;
    }
  }
  return {};
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
    {"UTF8", &Machine::Utf8, true, false, Argument::kNone},
    {"LANG", &Machine::Lang, true, true, Argument::kOptional},
    {"XCLIENT", &Machine::XclientCommand, true, false, Argument::kRequired},
};

Machine::Machine(std::string_view server, net::TlsUse tls, MachineOptions options)
    : tls_(tls), options_(std::move(options)) {
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
    // RFC 5034 section 4: a response is as long as its mechanism has it, a command is not.
    std::optional<LineReader::Line> line = lines_.Next(sasl_ ? auth::kMaxSaslOctets + 2 : kMaxLineOctets);
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
  if (MayAuth()) Reply("SASL PLAIN");
  if (options_.utf8) Reply("UTF8 USER\r\nLANG");
  if (options_.trusted && state_ == State::kAuthorisation) Reply("XCLIENT");
  for (const std::string& capability : options_.capabilities) Reply(capability);
  Reply(".");
}

void Machine::Stls(std::string_view) {
  if (secure_) return Bad("TLS is in use already");
  if (tls_ != net::TlsUse::kOnDemand) return Bad("There is no TLS here");
  if (utf8_) return Bad("STLS comes before UTF8");  // RFC 6856 section 2.1
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

// What a trusted peer said by XCLIENT stays: it was believed for its address, which is the same.
void Machine::Secured() {
  secure_ = true;
  login_.clear();
  sasl_.reset();
  lines_.Clear();
}

// RFC 6856 section 2.1. Messages go out as they lie there in either mode (docs/rfc.md).
void Machine::Utf8(std::string_view) {
  if (!options_.utf8) return Bad("Unknown command");
  utf8_ = true;
  Reply("+OK UTF-8 it is");
}

// RFC 6856 section 3. A language that we have not is no mistake of the client's.
void Machine::Lang(std::string_view argument) {
  if (!options_.utf8) return Bad("Unknown command");
  if (argument.empty()) {
    Reply("+OK Languages follow");
    for (const std::string_view language : kLanguages) Reply(fmt::format("{} English", language));
    return Reply(".");
  }
  const std::string_view language = LanguageFor(argument);
  if (language.empty()) return Reply("-ERR The languages are en and i-default");
  Reply(fmt::format("+OK {} English it is", language));
}

void Machine::XclientCommand(std::string_view argument) {
  if (!options_.trusted) return Bad("You are not trusted to say who the client is");
  std::optional<Xclient> client = ParseXclient(argument);
  if (!client) return Bad("Invalid parameters");
  login_.clear();
  Reply("+OK Updated");
  Step step;
  step.kind = Step::Kind::kXclient;
  step.client = *std::move(client);
  asked_ = std::move(step);
}

void Machine::Quit(std::string_view) {
  if (state_ == State::kAuthorisation) return Removed(true);
  Step step;
  for (size_t i = 0; i < deleted_.size(); ++i) {
    if (deleted_[i]) step.indices.push_back(i);
  }
  step.kind = Step::Kind::kRemove;
  asked_ = std::move(step);
}

void Machine::Removed(bool all_removed) {
  Reply(all_removed ? "+OK Bye" : "-ERR [SYS/TEMP] Some deleted messages were not removed");
  state_ = State::kClosing;
}

}  // namespace prov::pop3
