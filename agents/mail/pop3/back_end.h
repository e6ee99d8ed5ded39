// A login at a store on a subscriber's behalf: the proxy's client side.
#pragma once

#include <asio/awaitable.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "agents/mail/net/connection.h"

namespace prov::pop3 {

struct BackEndLogin {
  std::unique_ptr<net::Connection> connection;  // none when the store refused
  std::string words;                            // behind its +OK or -ERR
  std::string rest;                             // octets that followed the +OK
};

// UNAVAILABLE or DEADLINE_EXCEEDED when the store cannot be reached or does not speak POP3: try another
// clone. A store that answers -ERR to the password has decided.
asio::awaitable<absl::StatusOr<BackEndLogin>> LogInAtBackEnd(std::string endpoint, std::string_view login,
                                                             std::string_view password);

}  // namespace prov::pop3
