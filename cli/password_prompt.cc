#include "cli/password_prompt.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "common/file.h"
#include "common/status.h"

namespace prov::cli {
namespace {

constexpr size_t kMaxOctets = 1 << 20;
constexpr std::array kEndingSignals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

// The signal that came while a password was typed; 0: none.
volatile std::sig_atomic_t caught = 0;

void Catch(int signal_number) { caught = signal_number; }

absl::StatusOr<std::string> ReadLine(int fd) {
  std::string line;
  for (char c; line.size() < kMaxOctets;) {
    const ssize_t got = read(fd, &c, 1);
    if (got < 0 && errno == EINTR && caught == 0) continue;
    if (got < 0) return ErrnoStatus(errno, "read the password");
    if (got == 0 || c == '\n') break;
    line += c;
  }
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

// No echo while it lives, and whatever ends the program leaves a terminal that echoes again.
class Silence {
 public:
  explicit Silence(int fd) : fd_(fd), known_(tcgetattr(fd, &before_) == 0) {
    if (!known_) return;
    struct sigaction action {};
    action.sa_handler = Catch;  // without SA_RESTART: read(2) returns
    for (size_t i = 0; i < kEndingSignals.size(); ++i) sigaction(kEndingSignals[i], &action, &actions_[i]);
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    quiet.c_cc[VSUSP] = _POSIX_VDISABLE;  // a stopped program would leave its shell without echo
    tcsetattr(fd_, TCSAFLUSH, &quiet);
  }
  ~Silence() {
    if (!known_) return;
    tcsetattr(fd_, TCSAFLUSH, &before_);
    for (size_t i = 0; i < kEndingSignals.size(); ++i) sigaction(kEndingSignals[i], &actions_[i], nullptr);
    if (caught != 0) raise(caught);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  const int fd_;
  termios before_{};
  const bool known_;
  std::array<struct sigaction, kEndingSignals.size()> actions_{};
};

absl::StatusOr<std::string> Ask(int terminal, const std::string& question) {
  PROV_RETURN_IF_ERROR(WriteAll(terminal, question));
  const Silence silence(terminal);
  absl::StatusOr<std::string> answer = ReadLine(terminal);
  PROV_RETURN_IF_ERROR(WriteAll(terminal, "\n"));
  return answer;
}

}  // namespace

absl::StatusOr<std::string> ReadPasswordFromStdin() { return ReadLine(STDIN_FILENO); }

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
