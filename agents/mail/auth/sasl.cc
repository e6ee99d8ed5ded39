#include "agents/mail/auth/sasl.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "common/mail_address.h"

namespace prov::auth {
namespace {

constexpr char kUsername[] = "VXNlcm5hbWU6";  // "Username:"
constexpr char kPassword[] = "UGFzc3dvcmQ6";  // "Password:"

// Strictly: absl forgives blanks and missing padding, a client that sends them means something else.
bool Decode(std::string_view line, std::string& message) {
  const size_t padding = line.ends_with("==") ? 2 : line.ends_with("=") ? 1 : 0;
  const std::string_view digits = line.substr(0, line.size() - padding);
  const bool plain = std::all_of(digits.begin(), digits.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
  });
  return plain && line.size() % 4 == 0 && line.size() <= kMaxSaslOctets &&
         absl::Base64Unescape(absl::string_view(line.data(), line.size()), &message);
}

// No name or password has them; in a log or a protocol behind us they would begin a line, or end a string.
bool HasLineEndOrNul(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != text.npos;
}

}  // namespace

std::optional<SaslExchange> SaslExchange::Begin(std::string_view name) {
  const std::string folded = FoldAddress(name);
  if (folded == "plain") return SaslExchange(Mechanism::kPlain);
  if (folded == "login") return SaslExchange(Mechanism::kLogin);
  return std::nullopt;
}

SaslExchange::Step SaslExchange::Start(std::optional<std::string_view> initial) {
  if (initial) return Respond(*initial == "=" ? std::string_view() : *initial);
  challenge_ = mechanism_ == Mechanism::kLogin ? kUsername : "";
  return Step::kChallenge;
}

SaslExchange::Step SaslExchange::Respond(std::string_view line) {
  std::string message;
  Step step = Step::kMalformed;
  if (Decode(line, message)) step = mechanism_ == Mechanism::kPlain ? Plain(message) : Login(message);
  Wipe(message);
  return step;
}

// RFC 4616 section 2: [authzid] NUL authcid NUL passwd.
SaslExchange::Step SaslExchange::Plain(std::string& message) {
  const size_t first = message.find('\0');
  const size_t second = first == message.npos ? message.npos : message.find('\0', first + 1);
  if (second == message.npos) return Step::kMalformed;
  const std::string_view all = message;
  const std::string_view on_behalf = all.substr(0, first);
  const std::string_view login = all.substr(first + 1, second - first - 1);
  const std::string_view password = all.substr(second + 1);
  if (login.empty() || password.empty() || HasLineEndOrNul(login) || HasLineEndOrNul(password)) {
    return Step::kMalformed;
  }
  if (!on_behalf.empty() && FoldAddress(on_behalf) != FoldAddress(login)) return Step::kOnBehalf;
  login_ = std::string(login);
  password_ = Secret(password);
  return Step::kDone;
}

SaslExchange::Step SaslExchange::Login(std::string& message) {
  if (message.empty() || HasLineEndOrNul(message)) return Step::kMalformed;
  if (!named_) {
    named_ = true;
    login_ = message;
    challenge_ = kPassword;
    return Step::kChallenge;
  }
  password_ = Secret(message);
  return Step::kDone;
}

}  // namespace prov::auth
