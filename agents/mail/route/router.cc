#include "agents/mail/route/router.h"

#include <fmt/format.h>

#include <cstring>
#include <optional>

#include "common/mail_address.h"
#include "common/random.h"
#include "common/status.h"

namespace prov::route {
namespace {

// provd refuses an alias of an alias; this holds even if it did not.
constexpr int kMostAliasSteps = 3;

// The names that agents tell them by.
constexpr std::string_view kLmtp = "lmtp";
constexpr std::string_view kSmtp = "smtp";

uint64_t RandomBelow(uint64_t bound) {
  uint64_t value = 0;
  const std::string octets = RandomOctets(sizeof value);
  memcpy(&value, octets.data(), sizeof value);
  return value % bound;
}

Decision ByDisposition(const v1::MailRoute& route, std::string_view address) {
  switch (route.receive()) {
    case v1::ALLOW:
      return Local{route.pool(), std::string(address)};
    case v1::REJECT_PERMANENTLY:
      return Refused{};
    default:
      return Deferred{true, "the subscriber's mail is deferred"};
  }
}

Decision CannotRead(const absl::Status& status) { return Deferred{false, std::string(MessageOf(status))}; }

}  // namespace

Router::Router(state::StateReader& state, const Clock& clock, const SenderRewriting* rewriting)
    : state_(state), clock_(clock), rewriting_(rewriting) {}

// A decision, or NOT_FOUND.
std::variant<Decision, absl::Status> Router::LookUp(std::string_view address) const {
  const auto route = state_.FindMailRoute(address);
  if (route.ok()) return ByDisposition(*route, address);
  if (absl::IsNotFound(route.status())) return route.status();
  return CannotRead(route.status());
}

Decision Router::InDomain(std::string_view local_part, std::string_view domain, int depth) const {
  auto direct = LookUp(fmt::format("{}@{}", local_part, domain));
  if (Decision* decision = std::get_if<Decision>(&direct)) return *std::move(decision);
  const auto hosted = state_.FindDomain(v1::RELAY, domain);
  if (absl::IsNotFound(hosted.status())) return Remote{std::string(domain), false};
  if (!hosted.ok()) return CannotRead(hosted.status());
  if (!hosted->alias_of().empty()) {
    if (depth == kMostAliasSteps) return Deferred{false, fmt::format("{} is an alias in a circle", domain)};
    return InDomain(local_part, FoldAddress(hosted->alias_of()), depth + 1);
  }
  if (hosted->catch_all().empty()) return Unknown{};
  auto catch_all = LookUp(FoldAddress(hosted->catch_all()));
  if (Decision* decision = std::get_if<Decision>(&catch_all)) return *std::move(decision);
  return Unknown{};
}

Decision Router::Resolve(std::string_view local_part, std::string_view domain) const {
  if (rewriting_ != nullptr && rewriting_->IsRewritten(local_part, domain)) {
    absl::StatusOr<std::string> address = rewriting_->Restore(local_part, std::nullopt);
    // Forged, or of a secret that is gone: whoever sends it, it leads nowhere.
    if (!address.ok()) return Unknown{};
    return Rewritten{*std::move(address), rewriting_->Restore(local_part, clock_.Now()).ok()};
  }
  const std::string folded_local = FoldAddress(local_part);
  const std::string folded_domain = FoldAddress(domain);
  Decision decision = InDomain(folded_local, folded_domain, 0);
  const bool final_no = std::holds_alternative<Unknown>(decision) || std::holds_alternative<Remote>(decision);
  if (!final_no) return decision;
  if (!state_.IsCurrent(v1::RELAY, clock_.Now())) {
    if (std::holds_alternative<Remote>(decision)) return decision;
    return Deferred{false, "not in the host's copy, which may be behind"};
  }
  // A record may have come between the look-up and the question whether the copy is current.
  decision = InDomain(folded_local, folded_domain, 0);
  if (Remote* remote = std::get_if<Remote>(&decision)) remote->certain = true;
  return decision;
}

absl::StatusOr<bool> Router::IsAddressOf(std::string_view login, std::string_view sender) const {
  std::string address = FoldAddress(sender);
  for (int step = 0; step <= kMostAliasSteps; ++step) {
    const auto route = state_.FindMailRoute(address);
    if (route.ok()) return route->login() == login;
    if (!absl::IsNotFound(route.status())) return route.status();
    const size_t at = address.rfind('@');
    if (at == address.npos) return false;
    const auto hosted = state_.FindDomain(v1::RELAY, std::string_view(address).substr(at + 1));
    if (absl::IsNotFound(hosted.status())) return false;
    if (!hosted.ok()) return hosted.status();
    if (!hosted->alias_of().empty()) {
      address = fmt::format("{}@{}", address.substr(0, at), FoldAddress(hosted->alias_of()));
    } else if (!hosted->catch_all().empty()) {
      address = FoldAddress(hosted->catch_all());
    } else {
      return false;
    }
  }
  return false;
}

absl::StatusOr<Router::PoolEndpoints> Router::EndpointsOf(std::string_view pool) const {
  PROV_ASSIGN_OR_RETURN(const v1::PoolMembers members, state_.FindPool(v1::RELAY, pool));
  const bool lmtp = members.role() != v1::LIST;
  return PoolEndpoints{OrderEndpoints(members, lmtp ? kLmtp : kSmtp, RandomBelow), lmtp};
}

}  // namespace prov::route
