#include "agents/mail/pop3/store_choice.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

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

struct StoreChoice::Memory {
  std::mutex mutex;
  std::string last_pool;
  std::map<std::string, std::chrono::steady_clock::time_point> unreachable;  // until when
};

StoreChoice::StoreChoice(state::StateReader& state, const Clock& clock)
    : state_(state), clock_(clock), memory_(std::make_unique<Memory>()) {}
StoreChoice::StoreChoice(StoreChoice&&) noexcept = default;
StoreChoice::~StoreChoice() = default;

absl::StatusOr<std::vector<std::string>> StoreChoice::For(std::string_view login) {
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
absl::StatusOr<std::vector<std::string>> StoreChoice::InPool(const std::string& pool,
                                                             std::string_view login) {
  const absl::StatusOr<v1::PoolMembers> members = state_.FindPool(v1::POP_PROXY, pool);
  if (!members.ok())
    return absl::UnavailableError(fmt::format("pool {}: {}", pool, MessageOf(members.status())));
  std::vector<std::string> stores = OrderStores(*members, login);
  if (stores.empty()) return absl::UnavailableError(fmt::format("pool {} has no host that listens", pool));
  const auto now = clock_.Monotonic();
  std::stable_partition(stores.begin(), stores.end(), [&](const std::string& store) {
    const auto found = memory_->unreachable.find(store);
    return found == memory_->unreachable.end() || found->second <= now;
  });
  return stores;
}

void StoreChoice::MarkUnreachable(const std::string& endpoint) {
  const auto now = clock_.Monotonic();
  const std::lock_guard lock(memory_->mutex);
  std::erase_if(memory_->unreachable, [now](const auto& entry) { return entry.second <= now; });
  memory_->unreachable[endpoint] = now + kUnreachableRest;
}

}  // namespace prov::pop3
