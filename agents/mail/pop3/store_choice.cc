#include "agents/mail/pop3/store_choice.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "common/status.h"

namespace prov::pop3 {
namespace {

constexpr char kService[] = "pop3";

// The same on every host and in every release, unlike std::hash. In (0, 1).
double Fraction(std::string_view host, std::string_view login) {
  const std::string text = fmt::format("{}\n{}", host, login);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  uint64_t number = 0;
  std::memcpy(&number, digest, sizeof number);
  return (static_cast<double>(number >> 11) + 0.5) / static_cast<double>(uint64_t{1} << 53);
}

struct Candidate {
  bool drained;
  double score;
  std::string endpoint;
};

}  // namespace

std::vector<std::string> OrderStores(const v1::PoolMembers& pool, std::string_view login) {
  std::vector<Candidate> candidates;
  for (const v1::PoolMembers::Member& member : pool.members()) {
    const auto endpoint = member.endpoints().find(kService);
    if (endpoint == member.endpoints().end()) continue;
    const double weight = std::max(1u, member.weight());
    candidates.push_back(
        {member.drained(), -weight / std::log(Fraction(member.host(), login)), endpoint->second});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.drained != b.drained ? b.drained : a.score > b.score;
  });
  std::vector<std::string> stores;
  for (Candidate& candidate : candidates) stores.push_back(std::move(candidate.endpoint));
  return stores;
}

absl::StatusOr<std::vector<std::string>> StoresFor(state::StateReader& state, std::string_view login) {
  const absl::StatusOr<v1::LoginRoute> route = state.FindLoginRoute(login);
  if (absl::IsNotFound(route.status()) && !state.IsCurrent(v1::POP_PROXY, std::chrono::system_clock::now())) {
    // It may be a subscriber that we have not heard of yet.
    return absl::UnavailableError("the host's copy is not up to date");
  }
  if (!route.ok()) return route.status();
  const absl::StatusOr<v1::PoolMembers> pool = state.FindPool(v1::POP_PROXY, route->pool());
  if (!pool.ok()) return absl::UnavailableError(fmt::format("pool {} is not known yet", route->pool()));
  std::vector<std::string> stores = OrderStores(*pool, login);
  if (stores.empty())
    return absl::UnavailableError(fmt::format("pool {} has no host that listens", route->pool()));
  return stores;
}

}  // namespace prov::pop3
