// What to write so that entries become what they should be: pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ldap/entry.h"
#include "server/store/read_snapshot.h"

namespace prov::directory {

// What one aggregate should look like in the directory.
struct Item {
  store::AggregateKind kind = store::AggregateKind::kSubscriber;  // one of EntryKinds
  std::string key;                                                // as in store::Change
  uint64_t revision = 0;
  std::optional<ldap::Entry> wanted;  // nothing: no entry

  // "subscribers/1042", "domains/example.net".
  std::string Name() const;
};

struct PlannedWrite {
  size_t item = 0;  // index
  ldap::Write write;
};

// Modifications that turn `current` into `wanted`, looking at `names` only. Values are sets.
std::vector<ldap::Modification> Difference(const ldap::Attributes& current, const ldap::Attributes& wanted,
                                           const std::vector<std::string>& names);

// `current`: the entries that now carry an item's id or its wanted name (FindCurrent's answer). At most one
// write for a name, so that the writes of a plan may be done in any order. Subscribers are known by
// provSubscriberId, for a login may have a new owner after a purge.
std::vector<PlannedWrite> Plan(const std::vector<Item>& items, const std::vector<ldap::Entry>& current);

}  // namespace prov::directory
