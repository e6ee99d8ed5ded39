#include "agents/mail/route/next_hop.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/mail_address.h"
#include "common/status.h"

namespace prov::route {
namespace {

HopDecision ToRelay(const std::string& relay, std::string_view address) {
  if (relay.empty()) return NotNow{"450 4.4.4 no relay is set for other domains", false};
  return NextHop{relay, {relay}, false, false, std::string(address), "", false};
}

}  // namespace

HopDecision RelayHops::ToPool(const Local& local) const {
  auto pool = router_.EndpointsOf(local.pool);
  if (!pool.ok()) {
    return NotNow{fmt::format("451 4.3.5 pool {}: {}", local.pool, MessageOf(pool.status())), true};
  }
  if (pool->endpoints.empty()) {
    return NotNow{fmt::format("451 4.4.1 no host of pool {} takes mail now", local.pool), true};
  }
  return NextHop{
      "pools/" + local.pool, std::move(pool->endpoints), pool->lmtp, true, local.address, "", false};
}

HopDecision RelayHops::ToOthers(const Remote& remote, std::string_view address) const {
  if (!smarthost_.empty()) return ToRelay(smarthost_, address);
  if (remote.domain.starts_with('[')) return NoWay{"550 5.1.2 mail to address literals is not sent"};
  std::string domain = remote.domain;
  if (std::any_of(domain.begin(), domain.end(), [](unsigned char c) { return c > 0x7f; })) {
    // RFC 6531 section 3.2: DNS knows its A-labels.
    absl::StatusOr<std::string> labels = NormaliseDomain(domain);
    if (!labels.ok()) return NoWay{fmt::format("550 5.1.2 {}", MessageOf(labels.status()))};
    domain = *std::move(labels);
  }
  return NextHop{domain, {}, false, false, std::string(address), domain, !remote.certain};
}

// What leads back to another rewritten address of ours was made by somebody else's mistake.
HopDecision RelayHops::ToSender(const Rewritten& back) const {
  const size_t at = back.address.rfind('@');
  const Decision decision = router_.Resolve(std::string_view(back.address).substr(0, at),
                                            std::string_view(back.address).substr(at + 1));
  if (std::holds_alternative<Rewritten>(decision)) return NoWay{"550 5.4.6 the address leads to itself"};
  return Find(back.address);
}

HopDecision RelayHops::Find(std::string_view address) const {
  const size_t at = address.rfind('@');
  if (at == address.npos) return NoWay{"553 5.1.3 the address has no domain"};
  const Decision decision = router_.Resolve(address.substr(0, at), address.substr(at + 1));
  if (const Local* local = std::get_if<Local>(&decision)) return ToPool(*local);
  if (const Remote* remote = std::get_if<Remote>(&decision)) return ToOthers(*remote, address);
  if (const Rewritten* back = std::get_if<Rewritten>(&decision)) return ToSender(*back);
  if (std::holds_alternative<Unknown>(decision)) return NoWay{"550 5.1.1 no such address here"};
  if (std::holds_alternative<Refused>(decision)) return NoWay{"550 5.2.1 this mailbox takes no mail"};
  const Deferred& deferred = std::get<Deferred>(decision);
  return NotNow{fmt::format("451 {} {}", deferred.disabled ? "4.2.1" : "4.3.0", deferred.reason), false};
}

HopDecision FixedHop::Find(std::string_view address) const { return ToRelay(relay_, address); }

}  // namespace prov::route
