// Submission: who logged in may still do so, and sends as one of the login's own addresses (RFC 6409
// section 6.1).
#pragma once

#include "agents/mail/policy/policy.h"
#include "agents/mail/route/router.h"
#include "agents/state/reader.h"

namespace prov::policy {

class SenderLoginPolicy final : public Policy {
 public:
  // All must outlive it.
  SenderLoginPolicy(state::StateReader& state, const route::Router& router)
      : state_(state), router_(router) {}

  // A session that is open when its subscriber is suspended, or gets another password, ends here. The null
  // sender belongs to everybody: mail programs answer with it (RFC 3798 section 3).
  asio::awaitable<Verdict> Mail(const Client& client, const Envelope& envelope) override;

 private:
  Verdict Judge(const Client& client, const std::string& sender) const;

  state::StateReader& state_;
  const route::Router& router_;
};

}  // namespace prov::policy
