// The server's side of SASL's PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login) as mail protocols carry
// them: base64 in lines. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agents/mail/auth/secret.h"

namespace prov::auth {

// A line that carries a response; what is longer is no name and password.
constexpr size_t kMaxSaslOctets = 2048;

class SaslExchange {
 public:
  enum class Step {
    kChallenge,  // send challenge(), and Respond to what comes
    kDone,       // login() and TakePassword()
    kMalformed,  // not base64, or not what the mechanism says
    kOnBehalf,   // names two users: nobody acts for another here
  };

  // Nothing: a mechanism that is not known. `name` in any case.
  static std::optional<SaslExchange> Begin(std::string_view name);

  // What comes with the command, "=" for an empty one (RFC 4954 section 4); nothing: it brought none.
  Step Start(std::optional<std::string_view> initial);
  // A line of the client, without its end.
  Step Respond(std::string_view line);

  // In base64.
  std::string_view challenge() const { return challenge_; }
  const std::string& login() const { return login_; }
  Secret TakePassword() { return std::move(password_); }

 private:
  enum class Mechanism { kPlain, kLogin };
  explicit SaslExchange(Mechanism mechanism) : mechanism_(mechanism) {}
  Step Plain(std::string& message);
  Step Login(std::string& message);

  Mechanism mechanism_;
  std::string challenge_;
  bool named_ = false;  // LOGIN: the name came, the password has to
  std::string login_;
  Secret password_;
};

}  // namespace prov::auth
