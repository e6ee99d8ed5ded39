// The proxy's side of a login at a back end.
#pragma once

#include <asio/awaitable.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "agents/mail/auth/secret.h"
#include "agents/mail/net/connection.h"
#include "agents/mail/net/peer.h"
#include "agents/mail/net/tls_party.h"
#include "agents/mail/net/verified_tls.h"
#include "agents/mail/pop3/store_choice.h"

namespace prov::pop3 {

// Stands in the greeting of our proxies, so that one that was told that it is its own back end, or another
// one is, sees it before a password is sent round in circles.
constexpr char kProxyMark[] = " proxy";

enum class BackEndTls {
  kNone,    // whoever answers there is trusted
  kStls,    // RFC 2595
  kAlways,  // RFC 8314
};

// What a back end says that it can.
struct BackEndAbilities {
  bool xclient = false;
  bool pipelining = false;  // RFC 2449 section 6.6
};

// What back ends have in common, and what is known of each. Thread-safe.
class BackEnds {
 public:
  // `verify` is set unless `use` is kNone; it outlives this.
  BackEnds(BackEndTls use, net::VerifiedTls* verify, std::chrono::milliseconds answer_time)
      : use_(use), verify_(verify), answer_time_(answer_time) {}

  BackEndTls tls() const { return use_; }
  // For each answer but that to the password.
  std::chrono::milliseconds answer_time() const { return answer_time_; }
  // The host is known by its name in the fleet, by the name that it serves under, or by what provd enrolled.
  std::unique_ptr<net::TlsParty> PartyOf(const Store& store) const;

  // As it said within the last minute.
  std::optional<BackEndAbilities> AbilitiesOf(const std::string& endpoint);
  void SetAbilities(const std::string& endpoint, const BackEndAbilities& abilities);

 private:
  struct Known {
    BackEndAbilities abilities;
    std::chrono::steady_clock::time_point until;
  };
  const BackEndTls use_;
  net::VerifiedTls* const verify_;
  const std::chrono::milliseconds answer_time_;
  std::mutex mutex_;
  std::map<std::string, Known> known_;
};

// Who wants in.
struct BackEndUser {
  std::string login;
  auth::Secret password;
  net::Peer client;
  std::string session;  // names the client's session here in the logs of both
};

// After the back end has decided.
struct BackEndSession {
  std::unique_ptr<net::TlsParty> party;  // outlives the connection
  std::unique_ptr<net::Connection> connection;
  bool accepted = false;
  std::string words;  // behind +OK or -ERR; as sent
  std::string rest;   // octets behind the line
};

// Connects, makes sure who is there, says who the client is where that is taken, and logs in: all at once
// where the back end takes that, or each step after the answer to the one before. A refusal is a session; a
// status is a back end that cannot be talked to, or is not to be. `password_sent` says whether another one
// may still be tried in its place.
asio::awaitable<absl::StatusOr<BackEndSession>> LogInAt(BackEnds& back_ends, const Store& store,
                                                        const BackEndUser& user, bool& password_sent);

}  // namespace prov::pop3
