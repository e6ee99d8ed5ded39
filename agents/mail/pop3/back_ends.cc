#include "agents/mail/pop3/back_ends.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "common/status.h"

namespace prov::pop3 {
namespace {

constexpr char kService[] = "pop3";

// FNV-1a with a final mix (splitmix64): the same on every proxy, or a mailbox would have two hosts.
uint64_t HashOf(std::string_view login, std::string_view host) {
  uint64_t hash = 14695981039346656037ull;
  const auto add = [&hash](std::string_view text) {
    for (const unsigned char c : text) hash = (hash ^ c) * 1099511628211ull;
    hash *= 1099511628211ull;  // a NUL: "ab" + "c" is not "a" + "bc"
  };
  add(login);
  add(host);
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ull;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebull;
  return hash ^ (hash >> 31);
}

struct Candidate {
  bool weightless;  // takes sessions only when no other can
  double score;
  std::string endpoint;
};

}  // namespace

std::vector<std::string> OrderMembers(const v1::PoolMembers& pool, std::string_view login) {
  std::vector<Candidate> candidates;
  for (const v1::PoolMembers::Member& member : pool.members()) {
    const auto endpoint = member.endpoints().find(kService);
    if (member.drained() || endpoint == member.endpoints().end() || endpoint->second.empty()) continue;
    // In (0, 1); -weight / ln(u) is the weighted form of rendezvous hashing.
    const double u = (static_cast<double>(HashOf(login, member.host()) >> 11) + 0.5) / 9007199254740992.0;
    const double weight = std::max<uint32_t>(member.weight(), 1);
    candidates.push_back({member.weight() == 0, -weight / std::log(u), endpoint->second});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.weightless != b.weightless ? b.weightless : a.score > b.score;
  });
  std::vector<std::string> endpoints;
  for (Candidate& candidate : candidates) endpoints.push_back(std::move(candidate.endpoint));
  return endpoints;
}

absl::StatusOr<std::vector<std::string>> BackEnds::For(std::string_view login) {
  const auto route = state_.FindLoginRoute(login);
  if (route.ok()) {
    auto endpoints = InPool(route->pool(), login);
    if (endpoints.ok()) last_pool_ = route->pool();
    return endpoints;
  }
  if (!absl::IsNotFound(route.status()) || last_pool_.empty()) return route.status();
  return InPool(last_pool_, login);
}

absl::StatusOr<std::vector<std::string>> BackEnds::InPool(const std::string& pool, std::string_view login) {
  const auto members = state_.FindPool(v1::POP_PROXY, pool);
  // A pool that is not known yet is no statement about the login.
  if (!members.ok())
    return absl::UnavailableError(fmt::format("pool {}: {}", pool, MessageOf(members.status())));
  std::vector<std::string> endpoints = OrderMembers(*members, login);
  if (endpoints.empty()) return absl::UnavailableError(fmt::format("pool {} has no host that serves", pool));
  const auto now = clock_.Monotonic();
  std::stable_partition(endpoints.begin(), endpoints.end(), [&](const std::string& endpoint) {
    const auto found = unreachable_.find(endpoint);
    return found == unreachable_.end() || found->second <= now;
  });
  return endpoints;
}

void BackEnds::MarkUnreachable(const std::string& endpoint) {
  const auto now = clock_.Monotonic();
  std::erase_if(unreachable_, [now](const auto& entry) { return entry.second <= now; });
  unreachable_[endpoint] = now + kUnreachableRest;
}

}  // namespace prov::pop3
