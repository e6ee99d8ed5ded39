#include "agents/mail/policy/relay_policy.h"

#include <variant>

#include "common/log.h"

namespace prov::policy {

bool IsRoutedBySender(const Recipient& recipient) {
  if (recipient.source_route || recipient.quoted || recipient.literal) return true;
  return recipient.local_part.find_first_of("%!@") != recipient.local_part.npos;
}

Verdict VerdictOf(const route::Decision& decision, bool trusted) {
  if (std::holds_alternative<route::Local>(decision)) return {};
  if (const auto* back = std::get_if<route::Rewritten>(&decision)) {
    if (back->recent) return {};
    return {550, "5.1.6", "this address was good for some days only"};
  }
  if (std::holds_alternative<route::Refused>(decision)) return {550, "5.2.1", "this mailbox takes no mail"};
  if (std::holds_alternative<route::Unknown>(decision)) return {550, "5.1.1", "no such address here"};
  if (const auto* remote = std::get_if<route::Remote>(&decision)) {
    if (trusted) return {};
    // It may have become ours since the host last heard of provd.
    if (!remote->certain) return {451, "4.3.0", "cannot be decided now, come again"};
    return {550, "5.7.1", "relay denied: not a domain of ours"};
  }
  const auto& deferred = std::get<route::Deferred>(decision);
  if (deferred.disabled) return {451, "4.2.1", "this mailbox takes no mail now, come again"};
  return {451, "4.3.0", "cannot be decided now, come again"};
}

asio::awaitable<Verdict> RelayPolicy::Rcpt(const Client& client, const Envelope& envelope,
                                           const Recipient& recipient) {
  if (IsRoutedBySender(recipient)) {
    co_return Verdict{550, "5.7.1", "addresses that route by themselves are not taken"};
  }
  const std::string domain = recipient.postmaster ? hostname_ : recipient.domain;
  const route::Decision decision = router_.Resolve(recipient.local_part, domain);
  if (const auto* deferred = std::get_if<route::Deferred>(&decision); deferred && !deferred->disabled) {
    Log(Level::kWarning, "route_deferred",
        {{"trace", envelope.trace}, {"recipient", recipient.text}, {"reason", deferred->reason}});
  }
  co_return VerdictOf(decision, client.trusted);
}

}  // namespace prov::policy
