#include "server/feed/change_page.h"

#include <algorithm>

#include "common/status.h"

namespace prov::feed {

absl::StatusOr<ChangePage> ReadChangePage(store::ReadSnapshot& snapshot, uint64_t after, size_t limit) {
  ChangePage page;
  page.to_revision = std::max(after, snapshot.head_revision());
  for (;;) {
    PROV_ASSIGN_OR_RETURN(page.changes, snapshot.ChangesAfter(after, limit));
    if (page.changes.size() < limit) return page;
    // A full page may end within a revision: leave that revision to the next one.
    const uint64_t last = page.changes.back().revision;
    if (page.changes.front().revision != last) {
      while (page.changes.back().revision == last) page.changes.pop_back();
      page.to_revision = last - 1;
      return page;
    }
    limit *= 2;  // one revision fills the page
  }
}

}  // namespace prov::feed
