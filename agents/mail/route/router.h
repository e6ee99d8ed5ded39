// Who is this address, where does it go: decided from the host's copy of the relay view alone.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/mail/route/pool_order.h"
#include "agents/mail/route/srs.h"
#include "agents/state/reader.h"
#include "common/clock.h"

namespace prov::route {

// A subscriber of ours who takes mail now, or a mailing list.
struct Local {
  std::string pool;     // store pool, or list pool
  std::string address;  // the subscriber's own, with domain aliases and catch-all followed
};
// Not a domain of ours.
struct Remote {
  std::string domain;
  bool certain = false;  // false: the copy may be behind, and the domain ours by now
};
// A domain of ours, and nobody of that name; said only while the copy is current.
struct Unknown {};
// The subscriber exists and takes no mail for good.
struct Refused {};
// It cannot be said now.
struct Deferred {
  bool disabled = false;  // the subscriber's mail is deferred on purpose, and it is not the copy's fault
  std::string reason;     // for logs
};
// An address that was rewritten here when mail was forwarded: what comes for it goes to this one.
struct Rewritten {
  std::string address;
  bool recent = false;  // otherwise nothing new is taken for it
};
using Decision = std::variant<Local, Remote, Unknown, Refused, Deferred, Rewritten>;

// Thread-safe. Calls read memory-mapped files and may block for a moment.
class Router {
 public:
  // All must outlive it; `rewriting` may be null.
  Router(state::StateReader& state, const Clock& clock, const SenderRewriting* rewriting = nullptr);

  // `address` as seen on the wire, local part unquoted; any case.
  Decision Resolve(std::string_view local_part, std::string_view domain) const;

  // Whether the subscriber of that login (lower case) may send as `sender`: his own addresses, also by an
  // alias of their domain, and those that a catch-all brings him. UNAVAILABLE: it cannot be told now.
  absl::StatusOr<bool> IsAddressOf(std::string_view login, std::string_view sender) const;

  struct PoolEndpoints {
    std::vector<std::string> endpoints;  // in the order to try; empty when no host takes mail now
    bool lmtp = true;                    // hosts of a list pool take SMTP
  };
  // Where the live hosts of a store or list pool take mail.
  // NOT_FOUND when the pool is not in the view; UNAVAILABLE when the copy cannot be read.
  absl::StatusOr<PoolEndpoints> EndpointsOf(std::string_view pool) const;

 private:
  std::variant<Decision, absl::Status> LookUp(std::string_view address) const;
  Decision InDomain(std::string_view local_part, std::string_view domain, int depth) const;

  state::StateReader& state_;
  const Clock& clock_;
  const SenderRewriting* const rewriting_;
};

}  // namespace prov::route
