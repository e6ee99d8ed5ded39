// What a subscriber's plan allows over POP3: how often to log in, and how long mail may stay (RFC 2449
// sections 6.5 and 6.7).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agents/config.h"

namespace prov::pop3 {

struct MailboxTerms {
  std::chrono::seconds login_delay{0};  // 0: none
  int64_t expire_days = 0;              // 0: never
};

// Thread-safe: it does not change.
class PlanTerms {
 public:
  PlanTerms() = default;  // nobody waits, and nothing expires
  explicit PlanTerms(const AgentConfig::Engine::Pop3& config);

  MailboxTerms Of(const std::string& plan) const;

  // Lines of CAPA for somebody who has not logged in yet: the longest delay and the shortest time that
  // anybody has, with USER where they differ; and for who has these terms.
  std::vector<std::string> CapabilitiesBeforeLogin() const;
  static std::vector<std::string> CapabilitiesOf(const MailboxTerms& terms);

 private:
  MailboxTerms default_;
  std::map<std::string, MailboxTerms> by_plan_;
};

}  // namespace prov::pop3
