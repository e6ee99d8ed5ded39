// What the machine does before somebody is logged in.
#include <fmt/format.h>

#include <utility>

#include "agents/mail/pop3/machine.h"
#include "common/utf8.h"

namespace prov::pop3 {
namespace {

constexpr size_t kMaxWordsOctets =
    400;  // of a line we pass on; a response has at most 512 (RFC 2449 section 4)

}  // namespace

void Machine::User(std::string_view argument) {
  // RFC 6856 section 2.2; whoever does not offer UTF8 passes on what came.
  if (options_.utf8 && !IsValidUtf8(argument)) return Bad("The name is not UTF-8");
  login_ = argument;
  // The same answer for every name (RFC 1939 section 13).
  Reply("+OK Send the password");
}

void Machine::Pass(std::string_view argument) {
  if (login_.empty()) return Bad("USER comes first");
  if (options_.utf8 && !IsValidUtf8(argument)) {
    login_.clear();
    return Bad("The password is not UTF-8");
  }
  Step step;
  step.kind = Step::Kind::kLogin;
  step.login = std::exchange(login_, std::string());
  step.password = auth::Secret(argument);
  asked_ = std::move(step);
}

// RFC 5034. A password in the clear is no worse than PASS's, but whoever has SASL has TLS (RFC 4616 section
// 6); a proxy of ours comes by a network that is trusted with PASS as well.
void Machine::Auth(std::string_view argument) {
  if (!MayAuth()) return Bad("AUTH needs TLS");
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

void Machine::LoggedIn(const std::vector<maildir::Message>& messages, std::vector<std::string> capabilities) {
  state_ = State::kTransaction;
  options_.capabilities = std::move(capabilities);
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
    case LoginFailure::kTooSoon:
      return FailLogin("[LOGIN-DELAY] You have logged in just now, come again later");
  }
}

void Machine::LoginRefusedWith(std::string_view words) { FailLogin(SanitiseWords(words)); }

std::string SanitiseWords(std::string_view words) {
  std::string clean;
  for (const unsigned char c : words.substr(0, kMaxWordsOctets)) {
    if (c >= ' ' && c < 0x7f) clean += static_cast<char>(c);
  }
  return clean;
}

}  // namespace prov::pop3
