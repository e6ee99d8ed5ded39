// The POP3 server of a store host.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agents/mail/auth/authenticator.h"
#include "agents/mail/maildir/listing_memory.h"
#include "agents/mail/net/address_set.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/net/listener.h"
#include "agents/mail/net/tls_use.h"
#include "agents/mail/pop3/limits.h"
#include "agents/mail/pop3/mailbox_terms.h"

namespace prov::pop3 {

struct Pop3ServerOptions {
  std::string address;   // host:port
  std::string hostname;  // in the greeting
  std::string maildir_root;
  SessionTimes times;
  net::SessionTls tls;
  net::AddressSet balancers;  // as in net::ListenOptions
  PlanTerms terms = {};
  net::AddressSet xclient = {};  // proxies that say by XCLIENT who the client is
};

// Listens from now on. What is passed by reference outlives the listener's sessions; destroy the
// authenticator and the pool before the event loop.
absl::StatusOr<std::unique_ptr<net::Listener>> StartPop3Server(const net::Loops& loops,
                                                               Pop3ServerOptions options,
                                                               auth::Authenticator& authenticator,
                                                               maildir::ListingMemory& listings,
                                                               net::BlockingPool& pool);

}  // namespace prov::pop3
