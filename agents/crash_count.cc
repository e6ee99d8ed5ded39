#include "agents/crash_count.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/status.h"

namespace prov {
namespace {

constexpr mode_t kFileMode = 0600;

std::string PathOf(const std::string& directory) { return directory + "/crashes"; }

// One octet for each: nothing else can be written safely by a process that is falling.
void AddOne(const char* path) {
  const int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kFileMode);
  if (file < 0) return;  // nobody to tell
  [[maybe_unused]] const ssize_t wrote = write(file, "x", 1);
  close(file);
}

char counted_path[4096];

void OnCrash(int number) {
  AddOne(counted_path);
  raise(number);  // its first handling was reset: now it ends the process
}

}  // namespace

void CountCrashes(const std::string& directory) {
  const std::string path = PathOf(directory);
  if (path.size() >= sizeof counted_path) return;
  memcpy(counted_path, path.c_str(), path.size() + 1);
  struct sigaction action = {};
  action.sa_handler = OnCrash;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT}) sigaction(number, &action, nullptr);
}

uint64_t CrashesCounted(const std::string& directory) {
  struct stat info;
  return lstat(PathOf(directory).c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

void CountCrash(const std::string& directory) { AddOne(PathOf(directory).c_str()); }

absl::Status ForgetCrashes(const std::string& directory) {
  const std::string path = PathOf(directory);
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, fmt::format("remove {}", path));
}

}  // namespace prov
