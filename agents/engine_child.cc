#include "agents/engine_child.h"

#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace prov {
namespace {

// It speaks for the agent to systemd, and only the agent may.
constexpr std::string_view kKeptBack = "NOTIFY_SOCKET=";

[[noreturn]] void Fail(int report, const char* step) {
  ChildFailure failure;
  failure.error = errno;
  strncpy(failure.step, step, sizeof failure.step - 1);
  // Nobody is left to tell if this fails.
  [[maybe_unused]] const ssize_t wrote = write(report, &failure, sizeof failure);
  _exit(127);
}

bool SetCapabilities(unsigned wanted) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  data[0].effective = data[0].permitted = data[0].inheritable = wanted;
  return syscall(SYS_capset, &header, data) == 0;
}

// The soft limit is low for the sake of programs that use select(); each session has some descriptors.
bool RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

void ResetSignals() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int number : {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD}) signal(number, SIG_DFL);
}

}  // namespace

EngineChild::EngineChild(const std::string& program, const std::string& config,
                         const std::optional<EngineUser>& user, bool low_ports, pid_t parent)
    : program_(program), config_(config), user_(user), low_ports_(low_ports), parent_(parent) {
  static char option[] = "--config";
  arguments_ = {const_cast<char*>(program_.c_str()), option, const_cast<char*>(config_.c_str()), nullptr};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with(kKeptBack)) environment_text_.emplace_back(*variable);
  }
  for (std::string& variable : environment_text_) environment_.push_back(variable.data());
  environment_.push_back(nullptr);
}

void EngineChild::Run(int report) {
  ResetSignals();
  if (!RaiseFileLimit()) Fail(report, "raise its file limit");
  if (user_ && !TakeIdentity()) Fail(report, "take the engine's user");
  if (geteuid() == 0 || getuid() == 0) {
    errno = EPERM;
    Fail(report, "refuse to be root");
  }
  if (!DieWithParent()) Fail(report, "die with the agent");
  if (close_range(3, static_cast<unsigned>(report) - 1, 0) != 0 && report > 3) Fail(report, "close files");
  if (close_range(static_cast<unsigned>(report) + 1, ~0U, 0) != 0) Fail(report, "close files");
  execve(program_.c_str(), arguments_.data(), environment_.data());
  Fail(report, "execute it");
}

// The plain system calls: the C library's would have every thread follow, and its list of threads is the
// parent's.
bool EngineChild::TakeIdentity() const {
  const bool keep = low_ports_;
  if (keep && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return false;
  if (syscall(SYS_setgroups, user_->groups.size(), user_->groups.data()) != 0) return false;
  if (syscall(SYS_setresgid, user_->gid, user_->gid, user_->gid) != 0) return false;
  if (syscall(SYS_setresuid, user_->uid, user_->uid, user_->uid) != 0) return false;
  if (keep && !KeepLowPorts()) return false;
  // It must not come back.
  if (syscall(SYS_setuid, 0) == 0 || syscall(SYS_setgid, 0) == 0) {
    errno = EPERM;
    return false;
  }
  return true;
}

bool EngineChild::KeepLowPorts() const {
  if (!SetCapabilities(1U << CAP_NET_BIND_SERVICE)) return false;
  return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) == 0;
}

// After the identity, whose change forgets it.
bool EngineChild::DieWithParent() const {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return false;
  if (getppid() == parent_) return true;
  errno = ESRCH;  // it is dead already
  return false;
}

}  // namespace prov
