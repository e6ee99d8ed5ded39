// The proxy's side of a login at a back end.
#pragma once

#include <asio/awaitable.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "agents/mail/auth/secret.h"
#include "agents/mail/net/connection.h"

namespace prov::pop3 {

struct BackEndReply {
  bool accepted = false;
  std::string words;  // behind +OK or -ERR; as sent
  std::string rest;   // octets behind the line
};

// Greeting, USER and PASS, each after the answer to the one before. A refusal is a reply; a status is a back
// end that cannot be talked to. `password_sent` says whether another one may still be tried in its place.
asio::awaitable<absl::StatusOr<BackEndReply>> LogInAt(net::Connection& back_end, std::string login,
                                                      const auth::Secret& password, bool& password_sent);

}  // namespace prov::pop3
