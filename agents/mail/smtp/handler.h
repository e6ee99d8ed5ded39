// What a server session asks of its role: relay or store. One object for each session.
#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "agents/mail/auth/secret.h"
#include "agents/mail/net/connection.h"
#include "agents/mail/smtp/command.h"
#include "agents/mail/smtp/header_scanner.h"
#include "agents/mail/smtp/path.h"
#include "agents/mail/smtp/reply.h"

namespace prov::smtp {

// The order of calls is the protocol's; a reply other than 2xx or 3xx refuses the command. Belongs to the
// event loop: what blocks runs on the blocking pool.
class Handler {
 public:
  virtual ~Handler() = default;

  // Before the greeting; code 0: go on.
  virtual asio::awaitable<Reply> Connect() = 0;
  // The session goes through TLS from here on, and begins anew.
  virtual void Secured(const net::TlsFacts& facts) = 0;
  virtual asio::awaitable<Reply> Hello(std::string name, bool extended) = 0;
  // Where ServerOptions offers it; 235: it may submit mail.
  virtual asio::awaitable<Reply> LogIn(std::string login, auth::Secret password);
  // Likewise. 220: the session begins anew, as this client's.
  virtual asio::awaitable<Reply> Introduce(const XclientCommand& client);
  virtual asio::awaitable<Reply> Mail(const MailCommand& mail) = 0;
  virtual asio::awaitable<Reply> Recipient(const RecipientCommand& recipient) = 0;
  // At least one recipient was accepted. 354 takes the message.
  virtual asio::awaitable<Reply> Data() = 0;
  // What goes wrong here is said at the end.
  virtual asio::awaitable<void> Content(std::string text) = 0;
  virtual asio::awaitable<void> HeaderEnd(const HeaderFacts& header) = 0;
  // The message is whole. 2xx: it is durable. Over LMTP one reply for each accepted recipient, in order.
  virtual asio::awaitable<std::vector<Reply>> End(const HeaderFacts& header, uint64_t octets) = 0;
  // The transaction is over without a message; also called when there was none.
  virtual void Reset() = 0;
};

}  // namespace prov::smtp
