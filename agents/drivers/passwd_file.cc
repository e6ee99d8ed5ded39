#include "agents/drivers/passwd_file.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "common/status.h"

namespace prov::drivers {
namespace {

struct FileCloser {
  void operator()(FILE* file) const { fclose(file); }
};

constexpr size_t kMostLineOctets = 1 << 20;  // a group may have many members

}  // namespace

absl::StatusOr<PasswdFile> PasswdFile::Read(const std::string& path) {
  const std::unique_ptr<FILE, FileCloser> stream(fopen(path.c_str(), "re"));
  if (stream == nullptr) return ErrnoStatus(errno, "open " + path);
  PasswdFile file;
  std::string buffer(kMostLineOctets, '\0');  // longer lines are an error of the file's
  for (;;) {
    passwd entry = {};
    passwd* found = nullptr;
    const int error = fgetpwent_r(stream.get(), &entry, buffer.data(), buffer.size(), &found);
    if (found == nullptr && error == ENOENT) return file;
    if (found == nullptr) return ErrnoStatus(error, "read " + path);
    // The first one counts, as for those who look it up.
    file.name_of_uid_.emplace(entry.pw_uid, entry.pw_name);
    file.by_name_.emplace(entry.pw_name, PasswdEntry{entry.pw_name, entry.pw_uid, entry.pw_gid,
                                                     entry.pw_gecos, entry.pw_dir, entry.pw_shell});
  }
}

const PasswdEntry* PasswdFile::FindName(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &found->second;
}

const PasswdEntry* PasswdFile::FindUid(uid_t uid) const {
  const auto found = name_of_uid_.find(uid);
  return found == name_of_uid_.end() ? nullptr : FindName(found->second);
}

absl::StatusOr<std::optional<gid_t>> FindGroup(const std::string& path, const std::string& name) {
  const std::unique_ptr<FILE, FileCloser> stream(fopen(path.c_str(), "re"));
  if (stream == nullptr) return ErrnoStatus(errno, "open " + path);
  std::string buffer(kMostLineOctets, '\0');
  for (;;) {
    group entry = {};
    group* found = nullptr;
    const int error = fgetgrent_r(stream.get(), &entry, buffer.data(), buffer.size(), &found);
    if (found == nullptr && error == ENOENT) return std::nullopt;
    if (found == nullptr) return ErrnoStatus(error, "read " + path);
    if (name == entry.gr_name) return entry.gr_gid;
  }
}

}  // namespace prov::drivers
