#include "cli/password_prompt.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>

#include "common/file.h"
#include "common/status.h"

namespace prov::cli {
namespace {

constexpr size_t kMaxOctets = 1 << 20;
constexpr std::array kEndingSignals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

// The writing end of the pipe that wakes who waits for the terminal; -1 while nobody does. A flag alone would
// miss a signal that comes just before read(2), or to another thread.
std::atomic<int> wake = -1;
static_assert(std::atomic<int>::is_always_lock_free);

void Catch(int signal_number) {
  const auto octet = static_cast<unsigned char>(signal_number);
  if (write(wake, &octet, 1) < 0) {
    // The pipe holds earlier signals; one is enough.
  }
}

// No echo while it lives, and whatever ends the program leaves a terminal that echoes again.
class Silence {
 public:
  explicit Silence(int fd)
      : fd_(fd), known_(pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) == 0 && tcgetattr(fd, &before_) == 0) {
    if (!known_) return;
    wake = pipe_[1];
    struct sigaction action {};
    action.sa_handler = Catch;
    for (size_t i = 0; i < kEndingSignals.size(); ++i) sigaction(kEndingSignals[i], &action, &actions_[i]);
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    quiet.c_cc[VSUSP] = _POSIX_VDISABLE;  // a stopped program would leave its shell without echo
    tcsetattr(fd_, TCSAFLUSH, &quiet);
  }
  ~Silence() {
    if (known_) {
      tcsetattr(fd_, TCSAFLUSH, &before_);
      for (size_t i = 0; i < kEndingSignals.size(); ++i) sigaction(kEndingSignals[i], &actions_[i], nullptr);
      wake = -1;
      if (unsigned char signal_number = 0; read(pipe_[0], &signal_number, 1) == 1) raise(signal_number);
    }
    for (const int end : pipe_) {
      if (end >= 0) close(end);
    }
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

  // True when there is something to read, false when a signal wants the program to end.
  bool AwaitInput() const {
    pollfd ready[2] = {{fd_, POLLIN, 0}, {pipe_[0], POLLIN, 0}};
    while (poll(ready, known_ ? 2 : 1, -1) < 0 && errno == EINTR) {
    }
    return ready[1].revents == 0;
  }

 private:
  const int fd_;
  int pipe_[2] = {-1, -1};
  termios before_{};
  const bool known_;
  std::array<struct sigaction, kEndingSignals.size()> actions_{};
};

absl::StatusOr<std::string> ReadLine(int fd, const Silence* silence) {
  std::string line;
  for (char c; line.size() < kMaxOctets;) {
    if (silence != nullptr && !silence->AwaitInput()) return absl::CancelledError("interrupted");
    const ssize_t got = read(fd, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read the password");
    if (got == 0 || c == '\n') break;
    line += c;
  }
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

absl::StatusOr<std::string> Ask(int terminal, const std::string& question) {
  PROV_RETURN_IF_ERROR(WriteAll(terminal, question));
  const Silence silence(terminal);
  absl::StatusOr<std::string> answer = ReadLine(terminal, &silence);
  PROV_RETURN_IF_ERROR(WriteAll(terminal, "\n"));
  return answer;
}

}  // namespace

absl::StatusOr<std::string> ReadPasswordFromStdin() { return ReadLine(STDIN_FILENO, nullptr); }

absl::StatusOr<std::string> PromptForPassword(const std::string& whose, std::string_view without_terminal) {
  const FileDescriptor terminal(open("/dev/tty", O_RDWR | O_CLOEXEC));
  if (!terminal.valid()) return InvalidField("password", without_terminal);
  PROV_ASSIGN_OR_RETURN(const std::string first,
                        Ask(terminal.get(), fmt::format("Password for {}: ", whose)));
  PROV_ASSIGN_OR_RETURN(const std::string second, Ask(terminal.get(), "Again: "));
  if (first != second) return InvalidField("password", "differs between the two times; nothing was changed");
  return first;
}

}  // namespace prov::cli
