// Whether a file is still the one that was read.
#pragma once

#include <sys/stat.h>

#include <string>

namespace prov::net {

// A file as it was when it was read: a new one has another inode, an edited one another time.
struct FileVersion {
  ino_t inode = 0;
  timespec modified{};
  off_t octets = 0;

  bool operator==(const FileVersion& other) const {
    return inode == other.inode && octets == other.octets && modified.tv_sec == other.modified.tv_sec &&
           modified.tv_nsec == other.modified.tv_nsec;
  }
};

// All zero where there is none.
inline FileVersion VersionOf(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return {};
  return {info.st_ino, info.st_mtim, info.st_size};
}

}  // namespace prov::net
