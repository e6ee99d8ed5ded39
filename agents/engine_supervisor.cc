#include "agents/engine_supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <thread>
#include <utility>

#include "agents/engine_child.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"

namespace prov {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kIdlePoll = std::chrono::seconds(1);
constexpr milliseconds kStopPoll = milliseconds(5);
constexpr int kMaxGroups = 1024;

bool IsCrash(int status) {
  if (!WIFSIGNALED(status)) return false;
  const int number = WTERMSIG(status);
  return number == SIGSEGV || number == SIGBUS || number == SIGABRT;
}

std::string DescribeEnd(int status) {
  if (WIFSIGNALED(status)) return fmt::format("killed by signal {}", WTERMSIG(status));
  return fmt::format("ended with {}", WEXITSTATUS(status));
}

}  // namespace

absl::StatusOr<std::optional<EngineUser>> ResolveEngineUser(const std::string& name) {
  const auto invalid = [&](std::string_view why) { return InvalidField("engine.user", why); };
  if (name.empty()) {
    if (geteuid() == 0) return invalid("is required when the agent is root: an engine never runs as root");
    return std::nullopt;
  }
  const passwd* entry = getpwnam(name.c_str());
  if (entry == nullptr) return invalid(fmt::format("there is no user {}", name));
  if (entry->pw_uid == 0 || entry->pw_gid == 0) return invalid("an engine never runs as root");
  if (geteuid() != 0) {
    if (entry->pw_uid == geteuid()) return std::nullopt;
    return invalid("only root may start it as another user");
  }
  EngineUser user{.name = name, .uid = entry->pw_uid, .gid = entry->pw_gid};
  int count = kMaxGroups;
  user.groups.resize(kMaxGroups);
  if (getgrouplist(name.c_str(), user.gid, user.groups.data(), &count) < 0) {
    return invalid(fmt::format("{} is in more than {} groups", name, kMaxGroups));
  }
  user.groups.resize(static_cast<size_t>(count));
  std::erase(user.groups, gid_t{0});
  return user;
}

EngineSupervisor::EngineSupervisor(EngineOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), start_at_(clock.Monotonic()) {}

EngineSupervisor::~EngineSupervisor() { Stop(); }

void EngineSupervisor::Poll() {
  if (pid_ != 0) {
    int status = 0;
    const pid_t ended = waitpid(pid_, &status, WNOHANG);
    if (ended == pid_) Ended(status);
  }
  if (pid_ != 0 || stopped_ || clock_.Monotonic() < start_at_) return;
  if (const absl::Status status = Start(); !status.ok()) {
    ++failures_;
    start_at_ = clock_.Monotonic() + options_.restart.Delay(failures_, std::random_device{}());
    Log(Level::kError, "engine_not_started", {{"program", options_.program}, {"error", status}});
  }
}

milliseconds EngineSupervisor::NextPoll() const {
  if (pid_ != 0 || stopped_) return kIdlePoll;
  const auto left = std::chrono::ceil<milliseconds>(start_at_ - clock_.Monotonic());
  return std::clamp(left, milliseconds(1), kIdlePoll);
}

void EngineSupervisor::Stop() {
  stopped_ = true;
  if (pid_ == 0) return;
  kill(pid_, SIGTERM);
  const auto deadline = clock_.Monotonic() + options_.stop_patience;
  bool killed = false;
  while (pid_ != 0) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) return Ended(status);
    if (!killed && clock_.Monotonic() >= deadline) {
      Log(Level::kWarning, "engine_killed", {{"pid", pid_}});
      kill(pid_, SIGKILL);
      killed = true;
    }
    std::this_thread::sleep_for(kStopPoll);
  }
}

absl::Status EngineSupervisor::Start() {
  if (!options_.user && geteuid() == 0) {
    return absl::FailedPreconditionError("an engine never runs as root: set engine.user");
  }
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  FileDescriptor reading(report[0]), writing(report[1]);
  // All that needs memory is made before the fork: other threads may hold the allocator's lock.
  EngineChild child(options_.program, options_.config, options_.user, options_.low_ports, getpid());
  const pid_t pid = _Fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) child.Run(writing.get());
  if (absl::Status closed = writing.Close(); !closed.ok()) return closed;
  ChildFailure failure;
  ssize_t got;
  do {
    got = read(reading.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got != 0) {
    waitpid(pid, nullptr, 0);
    return ErrnoStatus(failure.error, fmt::format("start {}: {}", options_.program, failure.step));
  }
  pid_ = pid;
  ++starts_;
  started_ = clock_.Monotonic();
  Log(Level::kInfo, "engine_started",
      {{"pid", pid}, {"user", options_.user ? options_.user->name : std::string("same")}});
  return absl::OkStatus();
}

void EngineSupervisor::Ended(int status) {
  const auto now = clock_.Monotonic();
  Log(stopped_ ? Level::kInfo : Level::kWarning, "engine_ended",
      {{"pid", pid_}, {"how", DescribeEnd(status)}});
  pid_ = 0;
  if (IsCrash(status)) ++crashes_;
  failures_ = now - started_ >= options_.settled ? 0 : failures_ + 1;
  start_at_ = failures_ == 0 ? now : now + options_.restart.Delay(failures_, std::random_device{}());
}

}  // namespace prov
