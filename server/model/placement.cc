#include "server/model/placement.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/status.h"
#include "server/model/validate.h"

namespace prov::model {
namespace {

// a.mailboxes / a.weight < b.mailboxes / b.weight, with the one to come counted: of two empty pools the
// heavier one is first.
bool IsEmptier(const Pool& a, const Pool& b) {
  return (a.mailboxes + 1) * static_cast<int64_t>(b.weight) <
         (b.mailboxes + 1) * static_cast<int64_t>(a.weight);
}

}  // namespace

absl::StatusOr<std::string> PlaceMailbox(const std::vector<Pool>& store_pools, const std::string& wanted,
                                         std::string_view field) {
  if (!wanted.empty()) {
    if (std::any_of(store_pools.begin(), store_pools.end(), [&](const Pool& p) { return p.id == wanted; }))
      return wanted;
    return FieldError(absl::StatusCode::kNotFound, field, "POOL_UNKNOWN",
                      fmt::format("{} is not a pool of role store; provctl list-pools shows those there are",
                                  Echo(wanted)));
  }
  const Pool* best = nullptr;
  for (const Pool& pool : store_pools) {
    if (pool.weight > 0 && (best == nullptr || IsEmptier(pool, *best))) best = &pool;
  }
  if (best != nullptr) return best->id;
  return FieldError(
      absl::StatusCode::kFailedPrecondition, field, "NO_STORE_POOL",
      "there is no pool of role store with a weight; provctl add-pool NAME --role store makes one");
}

}  // namespace prov::model
