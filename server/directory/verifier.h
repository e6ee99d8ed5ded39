// Compares the directory with the truth, and changes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/directory/publisher.h"
#include "server/store/read_snapshot.h"

namespace prov::directory {

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
};

struct VerifyHooks {
  // Called from time to time, each difference in one call alone; an error ends the verification.
  std::function<absl::Status(const Verification& so_far, const std::vector<DirectoryDifference>& found)>
      progress;
  // Waits until the publisher has applied a revision. Without it whatever it has not come to yet differs.
  std::function<absl::Status(uint64_t revision)> settle;
};

// With connections of its own, while the publisher goes on: what differs at first is compared again with what
// the truth has become, and only what still differs is told.
absl::StatusOr<Verification> VerifyDirectory(store::SnapshotSource& source, const Publisher::Options& options,
                                             const VerifyHooks& hooks = {});

// One subscriber's entry, as it is at this moment; nothing: it is what the truth says. A change that the
// publisher has not come to yet differs.
absl::StatusOr<std::vector<DirectoryDifference>> CompareSubscriber(store::SnapshotSource& source,
                                                                   const Publisher::Options& options,
                                                                   int64_t id);

}  // namespace prov::directory
