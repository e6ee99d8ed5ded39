// The POP3 proxy: any subscriber connects here; the session goes to a live store of the mailbox's pool.
//
// It takes the login, logs in at the store with the same credentials, and hands octets on both ways.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agents/mail/auth/failure_delay.h"
#include "agents/mail/net/address_set.h"
#include "agents/mail/net/listener.h"
#include "agents/mail/net/tls_use.h"
#include "agents/mail/net/verified_tls.h"
#include "agents/mail/pop3/back_end_login.h"
#include "agents/mail/pop3/limits.h"
#include "agents/state/reader.h"

namespace prov::pop3 {

struct Pop3ProxyOptions {
  std::string address;   // host:port
  std::string host;      // as in the fleet
  std::string hostname;  // in the greeting
  SessionTimes times;
  net::SessionTls tls;
  net::AddressSet balancers;  // as in net::ListenOptions
  BackEndTls back_end_tls = BackEndTls::kNone;
  net::VerifiedTls* verify = nullptr;  // back ends; set unless there is no TLS with them
};

// Listens from now on. What is passed by reference, and `verify`, outlive the listener's sessions.
absl::StatusOr<std::unique_ptr<net::Listener>> StartPop3Proxy(const net::Loops& loops,
                                                              Pop3ProxyOptions options,
                                                              state::StateReader& state,
                                                              auth::FailureDelay& delay);

}  // namespace prov::pop3
