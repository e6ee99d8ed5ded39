#include "agents/mail/route/pool_order.h"

#include <utility>

namespace prov::route {
namespace {

struct Candidate {
  uint64_t weight = 0;
  std::string endpoint;
};

size_t Draw(const std::vector<Candidate>& candidates, const Chance& chance) {
  uint64_t total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  if (total == 0) return chance(candidates.size());
  uint64_t point = chance(total);
  size_t index = 0;
  while (point >= candidates[index].weight) point -= candidates[index++].weight;
  return index;
}

}  // namespace

std::vector<std::string> OrderEndpoints(const v1::PoolMembers& pool, std::string_view service,
                                        const Chance& chance) {
  std::vector<Candidate> candidates;
  for (const v1::PoolMembers::Member& member : pool.members()) {
    const auto endpoint = member.endpoints().find(std::string(service));
    if (member.drained() || endpoint == member.endpoints().end() || endpoint->second.empty()) continue;
    candidates.push_back({member.weight(), endpoint->second});
  }
  std::vector<std::string> ordered;
  while (!candidates.empty()) {
    const size_t index = Draw(candidates, chance);
    ordered.push_back(std::move(candidates[index].endpoint));
    candidates.erase(candidates.begin() + static_cast<ptrdiff_t>(index));
  }
  return ordered;
}

}  // namespace prov::route
