#include "agents/mail/pop3/mailbox_terms.h"

#include <fmt/format.h>

#include <algorithm>

namespace prov::pop3 {
namespace {

std::chrono::seconds Seconds(std::chrono::milliseconds delay) {
  return std::chrono::duration_cast<std::chrono::seconds>(delay);
}

int64_t Days(std::chrono::milliseconds time) { return time / std::chrono::hours(24); }

std::string Expire(int64_t days) { return days == 0 ? "EXPIRE NEVER" : fmt::format("EXPIRE {}", days); }

std::string LoginDelay(std::chrono::seconds delay) { return fmt::format("LOGIN-DELAY {}", delay.count()); }

}  // namespace

PlanTerms::PlanTerms(const AgentConfig::Engine::Pop3& config)
    : default_{Seconds(config.login_delay), Days(config.expire)} {
  const auto of_plan = [this](const std::string& plan) -> MailboxTerms& {
    return by_plan_.try_emplace(plan, default_).first->second;
  };
  for (const auto& [plan, delay] : config.plan_login_delay) of_plan(plan).login_delay = Seconds(delay);
  for (const auto& [plan, time] : config.plan_expire) of_plan(plan).expire_days = Days(time);
}

MailboxTerms PlanTerms::Of(const std::string& plan) const {
  const auto found = by_plan_.find(plan);
  return found == by_plan_.end() ? default_ : found->second;
}

std::vector<std::string> PlanTerms::CapabilitiesBeforeLogin() const {
  MailboxTerms strictest = default_;
  bool delays_differ = false, times_differ = false;
  for (const auto& [plan, terms] : by_plan_) {
    delays_differ |= terms.login_delay != default_.login_delay;
    times_differ |= terms.expire_days != default_.expire_days;
    strictest.login_delay = std::max(strictest.login_delay, terms.login_delay);
    if (terms.expire_days == 0) continue;
    strictest.expire_days =
        strictest.expire_days == 0 ? terms.expire_days : std::min(strictest.expire_days, terms.expire_days);
  }
  std::vector<std::string> lines = CapabilitiesOf(strictest);
  if (times_differ) lines.front() += " USER";
  if (delays_differ) lines.back() += " USER";
  return lines;
}

std::vector<std::string> PlanTerms::CapabilitiesOf(const MailboxTerms& terms) {
  std::vector<std::string> lines = {Expire(terms.expire_days)};
  if (terms.login_delay.count() > 0) lines.push_back(LoginDelay(terms.login_delay));
  return lines;
}

}  // namespace prov::pop3
