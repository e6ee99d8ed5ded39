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

#include "agents/crash_count.h"
#include "common/log.h"
#include "common/status.h"

namespace prov {
namespace {

constexpr mode_t kDirectoryMode = 0750;
constexpr std::chrono::milliseconds kLockPoll{20};
constexpr size_t kMaxPermitOctets = 32;
constexpr uint64_t kMostCrashes = 2;
constexpr const char* kBootIdPath = "/proc/sys/kernel/random/boot_id";
constexpr size_t kMaxBootIdOctets = 64;
constexpr const char* kBrokenName = "/broken.mdb";
constexpr std::chrono::seconds kPermitClockSlack{10};

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

absl::StatusOr<std::unique_ptr<state::StateWriter>> StateDirectory::OpenState(
    const std::function<absl::Status()>& check) const {
  const state::WriterOptions options{.readers_group = group_};
  absl::Status status = CrashesCounted(path_) >= kMostCrashes
                            ? absl::DataLossError("the agent has crashed on it again and again")
                            : check();
  if (status.ok()) {
    auto writer = state::StateWriter::Open(path_, options);
    if (!absl::IsDataLoss(writer.status())) return writer;
    status = writer.status();
  }
  if (!absl::IsDataLoss(status)) return Annotate(status, "check the host's copy");
  PROV_RETURN_IF_ERROR(PutAside(status));
  return state::StateWriter::Open(path_, options);
}

absl::Status StateDirectory::PutAside(const absl::Status& why) const {
  const std::string data = path_ + "/data.mdb", aside = path_ + kBrokenName;
  Log(Level::kError, "state_broken",
      {{"error", why},
       {"put_aside", aside},
       {"what_now",
        "provd sends everything again, nothing need be done here; look at this host's disk and "
        "memory (dmesg, smartctl)"}});
  if (rename(data.c_str(), aside.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, fmt::format("put {} aside", data));
  }
  for (const char* name : {"/lock.mdb", "/confirmed"}) {
    const std::string file = path_ + name;
    if (unlink(file.c_str()) != 0 && errno != ENOENT)
      return ErrnoStatus(errno, fmt::format("remove {}", file));
  }
  PROV_RETURN_IF_ERROR(ForgetCrashes(path_));
  return SyncDirectory(path_);
}

absl::StatusOr<std::string> InstanceOf(const std::string& path) {
  PROV_ASSIGN_OR_RETURN(const std::string boot, ReadFile(kBootIdPath, kMaxBootIdOctets));
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, fmt::format("stat {}", path));
  return fmt::format("{}/{:x}/{:x}", boot.substr(0, boot.find('\n')), info.st_dev, info.st_ino);
}

void DistrustState(const std::string& path) {
  for (uint64_t i = 0; i < kMostCrashes; ++i) CountCrash(path);
}

std::chrono::system_clock::time_point BrokenStateTime(const std::string& path) {
  struct stat info;
  if (lstat((path + kBrokenName).c_str(), &info) != 0) return {};
  return std::chrono::system_clock::from_time_t(info.st_ctime);
}

absl::Status PermitRemovals(const std::string& path, uint64_t records) {
  return ReplaceFile(PermitPath(path), fmt::format("{}\n", records), 0600);
}

uint64_t PermittedRemovals(const std::string& path, const Clock& clock) {
  const std::string file = PermitPath(path);
  struct stat info;
  if (lstat(file.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return 0;
  const auto said = std::chrono::system_clock::from_time_t(info.st_mtime);
  // One that will be said is of a clock that was set back since: it would hold for too long.
  const auto age = clock.Now() - said;
  if (age > kPermitLifetime || age < -kPermitClockSlack) return 0;
  const auto content = ReadFile(file, kMaxPermitOctets);
  if (!content.ok()) return 0;
  uint64_t records = 0;
  const auto parsed = std::from_chars(content->data(), content->data() + content->size(), records);
  return parsed.ec == std::errc() ? records : 0;
}

}  // namespace prov
