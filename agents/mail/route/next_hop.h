// Where a recipient of a queued message goes next, looked up anew for each attempt.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agents/mail/route/router.h"

namespace prov::route {

struct NextHop {
  std::string name;                    // recipients with the same name may share a connection
  std::vector<std::string> endpoints;  // host:port, in the order to try; empty: see `domain`
  bool lmtp = false;                   // otherwise SMTP
  // The next hop follows the same truth as we do and may be a little behind: "unknown" is not final yet.
  bool shares_our_view = false;
  std::string address;  // whom to name there
  std::string domain;   // where there are no endpoints: its mail exchangers take it (RFC 5321 section 5.1)
  bool may_be_ours = false;  // the domain, for our copy may be behind
};
// Try again later.
struct NotNow {
  std::string reason;  // "451 4.3.0 …", goes into logs and notifications
  bool soon = false;   // what is missing comes by itself in seconds: an agent, an endpoint
};
// Never.
struct NoWay {
  std::string reason;  // "550 5.1.1 …"
};
using HopDecision = std::variant<NextHop, NotNow, NoWay>;

// Thread-safe; calls may block for a moment.
class NextHops {
 public:
  virtual ~NextHops() = default;
  // `address`: local-part@domain as the message was accepted for.
  virtual HopDecision Find(std::string_view address) const = 0;
};

// The relay's: subscribers go to their pool by LMTP, lists to theirs by SMTP, all others by SMTP to the
// smarthost or their domains' mail exchangers.
class RelayHops final : public NextHops {
 public:
  // `smarthost` (host:port) may be empty: mail goes to other domains itself. `router` must outlive it.
  RelayHops(const Router& router, std::string smarthost)
      : router_(router), smarthost_(std::move(smarthost)) {}
  HopDecision Find(std::string_view address) const override;

 private:
  HopDecision ToPool(const Local& local) const;
  HopDecision ToSender(const Rewritten& back) const;
  HopDecision ToOthers(const Remote& remote, std::string_view address) const;

  const Router& router_;
  const std::string smarthost_;
};

// The store's: forwarded mail goes to one relay by SMTP.
class FixedHop final : public NextHops {
 public:
  // Empty: mail waits.
  explicit FixedHop(std::string relay) : relay_(std::move(relay)) {}
  HopDecision Find(std::string_view address) const override;

 private:
  const std::string relay_;
};

}  // namespace prov::route
