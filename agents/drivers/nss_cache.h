// Unix accounts as libnss-cache reads them (nsscache's own format, libnss_cache 0.18): ROOT/etc/passwd.cache
// and group.cache, each with an index sorted by name and one sorted by number.
//
// An index is lines of equal length: key, NUL, offset in the main file, NULs, newline; sorted by octets, as
// the module searches them by strcmp. The module distrusts an index that is older, in seconds, than its main
// file, and reads that from its beginning instead.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/drivers/driver.h"

namespace prov::drivers {

struct UnixAccount {
  std::string login;
  uint32_t uid = 0;  // and its own group's gid
  std::string display_name;
  std::string home;
};

// What the files hold.
struct NssCacheFiles {
  std::string passwd, passwd_by_name, passwd_by_uid;
  std::string group, group_by_name, group_by_gid;
};

// Pure. Logins and uids must be unique; fields must be free of control characters. Colons in names become
// blanks. Nobody gets a shell, and no password in these files ever matches.
NssCacheFiles RenderNssCache(const std::vector<UnixAccount>& accounts);

// Replaces the six files below ROOT/etc, each atomically and durably, in an order and with times in which a
// look-up at any moment is right: an index that does not belong to the main file is always the older one.
// Files that are so already are left alone: false.
absl::StatusOr<bool> WriteNssCache(const std::string& root, const NssCacheFiles& files);

// Tells files apart without keeping what is in them.
using NssCacheFingerprint = std::vector<size_t>;
NssCacheFingerprint FingerprintOf(const NssCacheFiles& files);
absl::StatusOr<NssCacheFingerprint> FingerprintOnHost(const std::string& root);

// Each file that is not as it should be, with the names that were added, taken away or changed.
absl::StatusOr<std::vector<Difference>> CompareNssCache(const std::string& root, const NssCacheFiles& files);

}  // namespace prov::drivers
