// The accounts of an /etc/passwd (passwd(5)) and the groups of an /etc/group, to look in.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace prov::drivers {

struct PasswdEntry {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string gecos, home, shell;
};

class PasswdFile {
 public:
  // Lines that are no entries are passed over.
  static absl::StatusOr<PasswdFile> Read(const std::string& path);

  // Null: there is none. Valid as long as the file.
  const PasswdEntry* FindName(const std::string& name) const;
  const PasswdEntry* FindUid(uid_t uid) const;
  // By name.
  const std::map<std::string, PasswdEntry>& entries() const { return by_name_; }

 private:
  std::map<std::string, PasswdEntry> by_name_;
  std::map<uid_t, std::string> name_of_uid_;
};

// The gid of a group in an /etc/group (group(5)); nothing: there is none.
absl::StatusOr<std::optional<gid_t>> FindGroup(const std::string& path, const std::string& name);

}  // namespace prov::drivers
