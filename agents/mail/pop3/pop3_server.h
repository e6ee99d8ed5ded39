// POP3 sessions on a store: the machine, driven over a connection, with the mailbox behind it.
#pragma once

#include <asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agents/mail/auth/authenticator.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/net/listener.h"

namespace prov::pop3 {

struct Pop3ServerOptions {
  std::string address;   // host:port
  std::string hostname;  // in the greeting
  std::string maildir_root;
};

// Listens from now on. What is passed by reference outlives the listener's sessions.
absl::StatusOr<std::unique_ptr<net::Listener>> StartPop3Server(const asio::any_io_executor& executor,
                                                               Pop3ServerOptions options,
                                                               auth::Authenticator& authenticator,
                                                               net::BlockingPool& pool);

}  // namespace prov::pop3
