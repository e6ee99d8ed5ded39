#include "agents/state_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <thread>
#include <utility>

#include "common/log.h"
#include "common/status.h"

namespace prov {
namespace {

constexpr mode_t kDirectoryMode = 0750;
constexpr std::chrono::milliseconds kLockPoll{20};
constexpr size_t kMaxPermitOctets = 32;

std::string PermitPath(const std::string& path) { return path + "/allowed-removals"; }

}  // namespace

absl::StatusOr<StateDirectory> StateDirectory::Claim(const std::string& path, std::optional<gid_t> group,
                                                     std::chrono::milliseconds patience) {
  PROV_RETURN_IF_ERROR(EnsureDirectory(path, kDirectoryMode));
  const std::string lock_path = path + "/agent.lock";
  FileDescriptor lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return ErrnoStatus(errno, fmt::format("open {}", lock_path));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoStatus(errno, fmt::format("lock {}", lock_path));
    if (std::chrono::steady_clock::now() >= deadline) {
      return absl::FailedPreconditionError(fmt::format("another prov-agent is running on {}", path));
    }
    std::this_thread::sleep_for(kLockPoll);
  }
  if (group && (chown(path.c_str(), -1, *group) != 0 || chmod(path.c_str(), kDirectoryMode) != 0)) {
    return ErrnoStatus(errno, fmt::format("chgrp {}", path));
  }
  return StateDirectory(path, group, std::move(lock));
}

absl::StatusOr<std::unique_ptr<state::StateWriter>> StateDirectory::OpenState() const {
  const state::WriterOptions options{.readers_group = group_};
  auto writer = state::StateWriter::Open(path_, options);
  if (!absl::IsDataLoss(writer.status())) return writer;
  Log(Level::kError, "state_broken", {{"directory", path_}, {"error", writer.status()}});
  PROV_RETURN_IF_ERROR(PutAside());
  return state::StateWriter::Open(path_, options);
}

absl::Status StateDirectory::PutAside() const {
  const std::string data = path_ + "/data.mdb";
  if (rename(data.c_str(), (path_ + "/broken.mdb").c_str()) != 0) {
    return ErrnoStatus(errno, fmt::format("put {} aside", data));
  }
  for (const char* name : {"/lock.mdb", "/confirmed"}) {
    const std::string file = path_ + name;
    if (unlink(file.c_str()) != 0 && errno != ENOENT)
      return ErrnoStatus(errno, fmt::format("remove {}", file));
  }
  return SyncDirectory(path_);
}

absl::Status PermitRemovals(const std::string& path, uint64_t records) {
  return ReplaceFile(PermitPath(path), fmt::format("{}\n", records), 0600);
}

uint64_t PermittedRemovals(const std::string& path, const Clock& clock) {
  const std::string file = PermitPath(path);
  struct stat info;
  if (lstat(file.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return 0;
  const auto said = std::chrono::system_clock::from_time_t(info.st_mtime);
  if (clock.Now() - said > kPermitLifetime) return 0;
  const auto content = ReadFile(file, kMaxPermitOctets);
  if (!content.ok()) return 0;
  uint64_t records = 0;
  const auto parsed = std::from_chars(content->data(), content->data() + content->size(), records);
  return parsed.ec == std::errc() ? records : 0;
}

}  // namespace prov
