// Compares the directory with the truth, and changes nothing.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/directory/publisher.h"
#include "server/store/read_snapshot.h"

namespace prov::directory {

constexpr size_t kMostDifferencesShown = 1000;

struct DirectoryDifference {
  enum class Kind { kMissing, kExtra, kDifferent };
  Kind kind = Kind::kMissing;
  std::string dn;
  std::vector<std::string> attributes;  // names only: values may be secrets
  bool operator==(const DirectoryDifference&) const = default;
};

struct Verification {
  uint64_t entries_compared = 0;  // that should be there
  uint64_t differing = 0;
  std::vector<DirectoryDifference> differences;  // the first of them
};

// With connections of its own. What the publisher has not come to yet differs, of course: wait for it first.
absl::StatusOr<Verification> VerifyDirectory(store::SnapshotSource& source,
                                             const Publisher::Options& options);

}  // namespace prov::directory
