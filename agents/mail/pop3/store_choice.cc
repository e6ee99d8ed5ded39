#include "agents/mail/pop3/store_choice.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <utility>

#include "common/status.h"

namespace prov::pop3 {
namespace {

constexpr std::chrono::minutes kForgotten(10);

// The same on every host and in every release, unlike std::hash. In (0, 1).
double Fraction(std::string_view host, std::string_view login) {
  const std::string text = fmt::format("{}\n{}", host, login);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  uint64_t number = 0;
  for (size_t i = 0; i < sizeof number; ++i) number = number << 8 | digest[i];
  return (static_cast<double>(number >> 11) + 0.5) / static_cast<double>(uint64_t{1} << 53);
}

struct Candidate {
  bool drained;
  double score;
  Store store;
};

}  // namespace

std::vector<Store> OrderStores(const v1::PoolMembers& pool, std::string_view login,
                               const std::string& service) {
  std::vector<Candidate> candidates;
  for (const v1::PoolMembers::Member& member : pool.members()) {
    const auto endpoint = member.endpoints().find(service);
    if (endpoint == member.endpoints().end()) continue;
    const double weight = std::max(1u, member.weight());
    candidates.push_back({member.drained(),
                          -weight / std::log(Fraction(member.host(), login)),
                          {member.host(), endpoint->second}});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.drained != b.drained ? b.drained : a.score > b.score;
  });
  std::vector<Store> stores;
  for (Candidate& candidate : candidates) stores.push_back(std::move(candidate.store));
  return stores;
}

struct StoreChoice::Memory {
  std::mutex mutex;
  std::string last_pool;
  std::map<std::string, std::chrono::steady_clock::time_point> unreachable;  // until when
};

StoreChoice::StoreChoice(state::StateReader& state, std::string service, const Clock& clock)
    : state_(state), service_(std::move(service)), clock_(clock), memory_(std::make_unique<Memory>()) {}
StoreChoice::StoreChoice(StoreChoice&&) noexcept = default;
StoreChoice::~StoreChoice() = default;

absl::StatusOr<std::vector<Store>> StoreChoice::For(std::string_view login) {
  const absl::StatusOr<v1::LoginRoute> route = state_.FindLoginRoute(login);
  if (!route.ok() && !absl::IsNotFound(route.status()))
    return absl::UnavailableError(route.status().message());
  if (route.ok()) {
    const std::lock_guard lock(memory_->mutex);
    memory_->last_pool = route->pool();
    return InPool(route->pool(), login);
  }
  const std::lock_guard lock(memory_->mutex);
  if (!memory_->last_pool.empty()) return InPool(memory_->last_pool, login);
  if (!state_.IsCurrent(v1::POP_PROXY, clock_.Now())) {
    // It may be a subscriber that we have not heard of yet.
    return absl::UnavailableError("the host's copy is not up to date");
  }
  return route.status();
}

// Under the lock.
absl::StatusOr<std::vector<Store>> StoreChoice::InPool(const std::string& pool, std::string_view login) {
  const absl::StatusOr<v1::PoolMembers> members = state_.FindPool(v1::POP_PROXY, pool);
  if (!members.ok())
    return absl::UnavailableError(fmt::format("pool {}: {}", pool, MessageOf(members.status())));
  std::vector<Store> stores = OrderStores(*members, login, service_);
  if (stores.empty())
    return absl::UnavailableError(fmt::format("pool {} has no host that serves {}", pool, service_));
  const auto now = clock_.Monotonic();
  std::stable_partition(stores.begin(), stores.end(), [&](const Store& store) {
    const auto found = memory_->unreachable.find(store.endpoint);
    return found == memory_->unreachable.end() || found->second <= now;
  });
  // This login tries it; others pass it over until that is known.
  const auto first = memory_->unreachable.find(stores.front().endpoint);
  if (first != memory_->unreachable.end() && first->second <= now) first->second = now + kUnreachableRest;
  return stores;
}

void StoreChoice::MarkUnreachable(const std::string& endpoint) {
  const auto now = clock_.Monotonic();
  const std::lock_guard lock(memory_->mutex);
  // Those that are no longer in the fleet are not tried again, and so not forgotten otherwise.
  std::erase_if(memory_->unreachable, [now](const auto& entry) { return entry.second + kForgotten <= now; });
  memory_->unreachable[endpoint] = now + kUnreachableRest;
}

void StoreChoice::MarkReachable(const std::string& endpoint) {
  const std::lock_guard lock(memory_->mutex);
  memory_->unreachable.erase(endpoint);
}

}  // namespace prov::pop3
