// The relay's first duty: whom it takes mail for. No open relay, no backscatter (I6).
#pragma once

#include <string_view>

#include "agents/mail/policy/policy.h"
#include "agents/mail/route/router.h"

namespace prov::policy {

// Whether the address tries to route by itself (`user%other@us`, `other!user`, quoted, source route, address
// literal): refused whoever asks.
bool IsRoutedBySender(const Recipient& recipient);

// The answer for what the router decided.
Verdict VerdictOf(const route::Decision& decision, bool trusted);

class RelayPolicy final : public Policy {
 public:
  // `router` must outlive it. `hostname` is the domain of <Postmaster>.
  RelayPolicy(const route::Router& router, std::string hostname)
      : router_(router), hostname_(std::move(hostname)) {}

  asio::awaitable<Verdict> Rcpt(const Client& client, const Envelope& envelope,
                                const Recipient& recipient) override;

 private:
  const route::Router& router_;
  const std::string hostname_;
};

}  // namespace prov::policy
