// What the directory should say, read from a snapshot of the truth.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/directory/mapping.h"
#include "server/directory/plan.h"
#include "server/store/read_snapshot.h"

namespace prov::directory {

// Aggregates by kind and key, each with the newest revision that touched it.
using Touched = std::map<std::pair<store::AggregateKind, std::string>, uint64_t>;

struct ChangedItems {
  Touched touched;           // those with entries only
  uint64_t to_revision = 0;  // with these the directory has all changes up to here
};

// The next changes after `revision`, each aggregate once; about `limit` of them, for a revision comes whole.
absl::StatusOr<ChangedItems> ReadChanges(store::ReadSnapshot& snapshot, uint64_t revision, size_t limit);

// Their present state. An aggregate that is not there any more wants no entry.
absl::StatusOr<std::vector<Item>> ReadItems(store::ReadSnapshot& snapshot, const Touched& touched,
                                            const MappingOptions& options);

// All aggregates that the truth knows, so that what the directory has beyond them can be found.
class KnownKeys {
 public:
  void Add(const std::vector<Item>& items);
  bool Contains(store::AggregateKind kind, const std::string& key) const;

 private:
  std::vector<int64_t> ids_;  // of subscribers; ascending, as they are read
  std::set<std::pair<store::AggregateKind, std::string>> named_;
};

// Everything, in pages of `limit`, in order of subscriber id, then domain name, then list address; stops at
// the first error of `page`.
absl::Status ReadEverything(store::ReadSnapshot& snapshot, size_t limit, const MappingOptions& options,
                            const std::function<absl::Status(const std::vector<Item>& items)>& page);

}  // namespace prov::directory
