// Unix accounts as libnss-cache reads them (nsscache's own format, libnss_cache 0.18): ROOT/etc/passwd.cache
// and group.cache, each with an index sorted by name and one sorted by number.
//
// An index is lines of equal length: key, NUL, offset in the main file, NULs, newline; sorted by octets, as
// the module searches them by strcmp. The module distrusts an index that is older, in seconds, than its main
// file, and reads that from its beginning instead.
//
// All six follow from the lines of passwd.cache, which are in the order of logins. Besides those lines this
// takes some 40 octets of memory for each account while it runs.
#pragma once

#include <sys/stat.h>

#include <array>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/drivers/driver.h"
#include "agents/drivers/passwd_lines.h"

namespace prov::drivers {

std::string PasswdCachePath(const std::string& root);

// Replaces the six files below ROOT/etc, each atomically and durably, in an order and with times in which a
// look-up at any moment is right: an index that does not belong to the main file is always the older one.
// `lines` are in order, no login and no uid twice.
absl::Status WriteNssCache(const std::string& root, const std::vector<PasswdLine>& lines);

// Whether they hold that already.
absl::StatusOr<bool> IsNssCacheSo(const std::string& root, const std::vector<PasswdLine>& lines);

// Each file that is not as it should be, with the names that were added, taken away or changed.
absl::StatusOr<std::vector<Difference>> CompareNssCache(const std::string& root,
                                                        const std::vector<PasswdLine>& lines);

// Tells by inode, size and times whether somebody else has been at one of the files since.
class NssCacheStamp {
 public:
  static absl::StatusOr<NssCacheStamp> Of(const std::string& root);
  bool operator==(const NssCacheStamp&) const = default;

 private:
  struct File {
    dev_t device = 0;
    ino_t inode = 0;  // 0: there is none
    off_t octets = 0;
    int64_t modified_ns = 0, changed_ns = 0;
    bool operator==(const File&) const = default;
  };
  std::array<File, 6> files_;
};

}  // namespace prov::drivers
