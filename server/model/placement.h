// On which store pool a mailbox is made.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/model/fleet.h"

namespace prov::model {

// The pool called `wanted`; with "" the one that holds the fewest mailboxes for its weight, the first of
// equals. `store_pools` are all pools of role store, and none of another. Errors on `field`: NOT_FOUND,
// FAILED_PRECONDITION when no pool has a weight.
absl::StatusOr<std::string> PlaceMailbox(const std::vector<Pool>& store_pools, const std::string& wanted,
                                         std::string_view field);

}  // namespace prov::model
