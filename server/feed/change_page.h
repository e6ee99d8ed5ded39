// The change log in pages that never cut a revision in two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "server/store/read_snapshot.h"

namespace prov::feed {

struct ChangePage {
  std::vector<store::Change> changes;  // in order of revision; all changes of each revision named
  uint64_t to_revision = 0;            // there are no other changes after `after` up to here
};

// About `limit` changes, more only where one revision alone has more. With nothing left, `changes` is empty
// and to_revision is the snapshot's head.
absl::StatusOr<ChangePage> ReadChangePage(store::ReadSnapshot& snapshot, uint64_t after, size_t limit);

}  // namespace prov::feed
