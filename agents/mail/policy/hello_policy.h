// What a client may call itself.
#pragma once

#include <string_view>

#include "agents/mail/policy/policy.h"

namespace prov::policy {

// A host name of two labels or more, or an address literal (RFC 5321 sections 2.3.5, 4.1.3). Whether it is
// the client's own is not asked (RFC 5321 section 4.1.4).
bool IsHelloName(std::string_view name);

// Refuses names of other forms, unless the client is trusted.
class HelloPolicy final : public Policy {
 public:
  asio::awaitable<Verdict> Hello(const Client& client) override;
};

}  // namespace prov::policy
