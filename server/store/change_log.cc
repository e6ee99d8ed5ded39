#include "server/store/change_log.h"

#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/connection_pool.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

// Rows are in the order of time as they are in that of revisions: the oldest page is all that need be looked
// at.
constexpr char kOldest[] = R"(
SELECT max(revision) FILTER (WHERE time < now() - make_interval(secs => $1)) AS last, count(*) AS rows
FROM (SELECT revision, time FROM prov.change ORDER BY revision LIMIT $2) AS oldest)";

// Last, for it locks the row that all writes need.
constexpr char kMark[] = "UPDATE prov.revision SET compacted = $1 WHERE compacted < $1";

}  // namespace

absl::StatusOr<bool> ChangeLog::Compact(std::chrono::milliseconds keep, size_t page) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("compact the change log", [&]() -> absl::StatusOr<bool> {
    pqxx::work work(*lease);
    const double seconds = std::chrono::duration<double>(keep).count();
    const pqxx::row oldest = work.exec_params1(kOldest, seconds, page);
    if (oldest["last"].is_null()) return false;
    const auto last = oldest["last"].as<int64_t>();
    work.exec_params("DELETE FROM prov.change WHERE revision <= $1", last);
    work.exec_params(kMark, last);
    work.commit();
    return oldest["rows"].as<size_t>() == page;
  });
}

}  // namespace prov::store
