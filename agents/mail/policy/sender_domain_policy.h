// Senders who could not be told of a failure: their domain takes no mail.
#pragma once

#include <string>

#include "agents/mail/dns/resolver.h"
#include "agents/mail/policy/policy.h"

namespace prov::policy {

// Refuses senders whose domain has neither MX nor address, or a null MX (RFC 7505 section 4.2), and defers
// those of whom DNS cannot tell now. Trusted clients, subscribers who logged in and the null sender are not
// asked.
class SenderDomainPolicy final : public Policy {
 public:
  // `resolver` must outlive it.
  explicit SenderDomainPolicy(dns::Resolver& resolver) : resolver_(resolver) {}
  asio::awaitable<Verdict> Mail(const Client& client, const Envelope& envelope) override;

 private:
  asio::awaitable<Verdict> Judge(std::string domain);

  dns::Resolver& resolver_;
};

}  // namespace prov::policy
