#include "common/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/file.h"
#include "common/status.h"

// glibc 2.36 forgot to declare these as C (its bug 29456).
extern "C" {
#include <sys/pidfd.h>
}

namespace prov {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kMostErrorOctets = 4096;
constexpr int kSignalBase = 128;

// posix_spawn's settings, freed at the end of the scope.
class SpawnSettings {
 public:
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }

  // A process group of its own, so that its children can be killed with it.
  int Fill(int standard_error) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (error == 0)
      error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, standard_error, STDERR_FILENO);
    if (error == 0) error = posix_spawnattr_setsigmask(&attributes, &none);
    if (error == 0) error = posix_spawnattr_setsigdefault(&attributes, &all);
    if (error == 0) error = posix_spawnattr_setpgroup(&attributes, 0);
    if (error != 0) return error;
    return posix_spawnattr_setflags(&attributes,
                                    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& words, int standard_error) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
  char* environment[] = {path, locale, nullptr};
  SpawnSettings settings;
  pid_t pid = 0;
  int error = settings.Fill(standard_error);
  if (error == 0) {
    error = posix_spawn(&pid, arguments[0], &settings.actions, &settings.attributes, arguments.data(),
                        environment);
  }
  if (error != 0) return ErrnoStatus(error, fmt::format("start {}", words[0]));
  return pid;
}

// A child that was started and is not waited for yet.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    kill(-pid_, SIGKILL);
    Wait();
  }

  int Wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFSIGNALED(status) ? kSignalBase + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_;
};

// What is to be had now; what is beyond the limit is read and dropped.
bool ReadSome(int fd, std::string& text) {
  char buffer[1024];
  const ssize_t octets = read(fd, buffer, sizeof buffer);
  if (octets < 0) return errno == EINTR || errno == EAGAIN;
  text.append(buffer, std::min(static_cast<size_t>(octets), kMostErrorOctets - text.size()));
  return octets > 0;
}

}  // namespace

absl::StatusOr<ProgramEnd> RunProgram(const std::vector<std::string>& words, milliseconds patience) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  const FileDescriptor ours(ends[0]);
  FileDescriptor theirs(ends[1]);
  // Ours alone: programs do not expect that of their standard error.
  if (fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus(errno, "fcntl");
  PROV_ASSIGN_OR_RETURN(const pid_t pid, Spawn(words, theirs.get()));
  Child child(pid);
  theirs = FileDescriptor();
  const FileDescriptor ending(pidfd_open(pid, 0));
  if (!ending.valid()) return ErrnoStatus(errno, "pidfd_open");

  ProgramEnd end;
  const auto until = steady_clock::now() + patience;
  // Not until the pipe is closed: what it left running may hold that open.
  pollfd polled[2] = {{.fd = ending.get(), .events = POLLIN, .revents = 0},
                      {.fd = ours.get(), .events = POLLIN, .revents = 0}};
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - steady_clock::now());
    if (left.count() <= 0) {
      return absl::DeadlineExceededError(
          fmt::format("{} took longer than {} ms and was killed", words[0], patience.count()));
    }
    if (poll(polled, 2, static_cast<int>(std::min<int64_t>(left.count(), INT32_MAX))) < 0) continue;  // EINTR
    if (polled[1].revents != 0 && !ReadSome(ours.get(), end.errors)) polled[1].fd = -1;
    if (polled[0].revents != 0) break;
  }
  while (end.errors.size() < kMostErrorOctets && polled[1].fd >= 0 && poll(&polled[1], 1, 0) > 0 &&
         ReadSome(ours.get(), end.errors)) {
  }
  end.status = child.Wait();
  return end;
}

}  // namespace prov
