// Submission: who logged in sends as one of the login's own addresses (RFC 6409 section 6.1).
#pragma once

#include "agents/mail/net/blocking.h"
#include "agents/mail/policy/policy.h"
#include "agents/mail/route/router.h"

namespace prov::policy {

class SenderLoginPolicy final : public Policy {
 public:
  // Both must outlive it.
  SenderLoginPolicy(const route::Router& router, net::BlockingPool& pool) : router_(router), pool_(pool) {}

  // The null sender belongs to everybody: mail programs answer with it (RFC 3798 section 3).
  asio::awaitable<Verdict> Mail(const Client& client, const Envelope& envelope) override;

 private:
  const route::Router& router_;
  net::BlockingPool& pool_;
};

}  // namespace prov::policy
