// One POP3 session on a store host: a connection, the machine, the login and the mailbox brought together.
#pragma once

#include <asio/awaitable.hpp>
#include <memory>
#include <string>

#include "agents/mail/auth/authenticator.h"
#include "agents/mail/maildir/listing_memory.h"
#include "agents/mail/net/address_set.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/net/connection.h"
#include "agents/mail/net/tls_use.h"
#include "agents/mail/pop3/limits.h"
#include "agents/mail/pop3/mailbox_terms.h"

namespace prov::pop3 {

// Shared by sessions of any event loop: nothing in it changes, and what it refers to is thread-safe.
struct SessionContext {
  std::string hostname;  // in the greeting
  std::string maildir_root;
  net::BlockingPool& blocking;
  auth::Authenticator& authenticator;
  maildir::ListingMemory& listings;
  SessionTimes times;
  net::SessionTls tls;
  PlanTerms terms;
  net::AddressSet xclient;  // who may say who the client is
};

// Until the client quits, goes away or is too slow. `context` must outlive it.
asio::awaitable<void> ServeSession(std::unique_ptr<net::Connection> connection,
                                   const SessionContext& context);

}  // namespace prov::pop3
