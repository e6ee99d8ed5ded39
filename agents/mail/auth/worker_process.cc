#include "agents/mail/auth/worker_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "agents/mail/auth/secret.h"
#include "common/status.h"

namespace prov::auth {
namespace {

using Patience = WorkerProcess::Patience;

// OK when the socket is ready for `events`, or has ended.
absl::Status WaitFor(int socket, short events, const Patience& patience) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(patience.deadline - std::chrono::steady_clock::now())
            .count();
    pollfd entries[] = {{socket, events, 0}, {patience.stop_fd, POLLIN, 0}};  // poll skips a negative one
    const int ready = poll(entries, 2, static_cast<int>(std::clamp<int64_t>(left, 0, 60'000)));
    if (ready > 0 && entries[1].revents != 0) return absl::CancelledError("stopping");
    if (ready > 0) return absl::OkStatus();
    if (ready == 0 && left <= 0) return absl::DeadlineExceededError("the PAM worker did not answer in time");
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll PAM worker");
  }
}

absl::Status SendAll(int socket, std::string_view data, const Patience& patience) {
  while (!data.empty()) {
    const ssize_t sent = send(socket, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      data.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      PROV_RETURN_IF_ERROR(WaitFor(socket, POLLOUT, patience));
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "send to PAM worker");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReceiveExactly(int socket, size_t octets, const Patience& patience) {
  std::string data(octets, '\0');
  size_t got = 0;
  while (got < octets) {
    PROV_RETURN_IF_ERROR(WaitFor(socket, POLLIN, patience));
    const ssize_t more = recv(socket, data.data() + got, octets - got, MSG_DONTWAIT);
    if (more == 0) return absl::UnavailableError("the PAM worker died");
    if (more > 0) got += static_cast<size_t>(more);
    if (more < 0 && errno != EINTR && errno != EAGAIN) return ErrnoStatus(errno, "receive from PAM worker");
  }
  return data;
}

// posix_spawn's settings, freed at the end of the scope.
class SpawnSettings {
 public:
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  // Socket as standard input, nothing as standard output, our log as standard error; no blocked or ignored
  // signals.
  int Fill(int socket) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawn_file_actions_adddup2(&actions_, socket, STDIN_FILENO);
    if (error == 0)
      error = posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (error == 0) error = posix_spawnattr_setsigmask(&attributes_, &none);
    if (error == 0) error = posix_spawnattr_setsigdefault(&attributes_, &all);
    if (error == 0) {
      error = posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    return error;
  }

  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerProcess>> WorkerProcess::Spawn(const std::string& program,
                                                                    const std::string& config_directory) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return ErrnoStatus(errno, "socketpair");
  FileDescriptor ours(pair[0]), theirs(pair[1]);
  std::vector<std::string> words = {program, "--parent", fmt::format("{}", getpid())};
  if (!config_directory.empty()) {
    words.push_back("--config-directory");
    words.push_back(config_directory);
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  // The engine's environment is not the modules' business.
  char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  char* environment[] = {path, nullptr};
  SpawnSettings settings;
  pid_t pid = 0;
  int error = settings.Fill(theirs.get());
  if (error == 0) {
    error = posix_spawn(&pid, program.c_str(), &settings.actions_, &settings.attributes_, arguments.data(),
                        environment);
  }
  if (error != 0) return ErrnoStatus(error, fmt::format("start {}", program));
  return std::unique_ptr<WorkerProcess>(new WorkerProcess(pid, std::move(ours)));
}

WorkerProcess::~WorkerProcess() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

bool WorkerProcess::IsAlive() {
  if (pid_ <= 0) return false;
  const pid_t ended = waitpid(pid_, nullptr, WNOHANG);
  if (ended == 0) return true;
  pid_ = 0;  // reaped: the number may soon be somebody else's
  return false;
}

absl::StatusOr<WorkerReply> WorkerProcess::Ask(const WorkerRequest& request, const Patience& patience) {
  std::string frame = EncodeRequest(request);
  if (frame.empty()) return absl::InvalidArgumentError("the login or the password is too long");
  // What comes before its question would be taken for the answer, and be about somebody else's password.
  if (char octet = 0; recv(socket_.get(), &octet, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
    Wipe(frame);
    return absl::UnavailableError("the PAM worker spoke out of turn");
  }
  const absl::Status sent = SendAll(socket_.get(), frame, patience);
  Wipe(frame);
  PROV_RETURN_IF_ERROR(sent);
  PROV_ASSIGN_OR_RETURN(const std::string header,
                        ReceiveExactly(socket_.get(), kFrameHeaderOctets, patience));
  const auto octets = DecodeHeader(header);
  if (!octets) return absl::UnavailableError("the PAM worker sent a malformed frame");
  PROV_ASSIGN_OR_RETURN(const std::string body, ReceiveExactly(socket_.get(), *octets, patience));
  auto reply = DecodeReply(body);
  if (!reply) return absl::UnavailableError("the PAM worker sent a malformed reply");
  return *std::move(reply);
}

}  // namespace prov::auth
