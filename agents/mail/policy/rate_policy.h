// How much mail a client, its network and a login may send in an hour.
#pragma once

#include <cstdint>
#include <mutex>

#include "agents/mail/policy/policy.h"
#include "agents/mail/policy/rate_limit.h"
#include "common/clock.h"

namespace prov::policy {

struct Rates {  // an hour; 0: no limit
  uint32_t messages_of_address = 0;
  uint32_t messages_of_network = 0;  // IPv4 /24, IPv6 /48
  uint32_t recipients_of_login = 0;
};

// Thread-safe. Trusted clients have no limit; who logged in has the login's alone, wherever he comes from.
class RatePolicy final : public Policy {
 public:
  // `clock` must outlive it.
  RatePolicy(const Rates& rates, const Clock& clock);

  asio::awaitable<Verdict> Mail(const Client& client, const Envelope& envelope) override;
  asio::awaitable<Verdict> Rcpt(const Client& client, const Envelope& envelope,
                                const Recipient& recipient) override;

 private:
  const Clock& clock_;
  std::mutex mutex_;
  RateLimit addresses_, networks_, logins_;
};

}  // namespace prov::policy
