#include "cli/password_prompt.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include "common/file.h"
#include "common/status.h"

namespace prov::cli {
namespace {

constexpr size_t kMaxOctets = 1 << 20;

absl::StatusOr<std::string> ReadLine(int fd) {
  std::string line;
  for (char c; line.size() < kMaxOctets;) {
    const ssize_t got = read(fd, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read the password");
    if (got == 0 || c == '\n') break;
    line += c;
  }
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

// No echo while it lives.
class Silence {
 public:
  explicit Silence(int fd) : fd_(fd), known_(tcgetattr(fd, &before_) == 0) {
    if (!known_) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(fd_, TCSAFLUSH, &quiet);
  }
  ~Silence() {
    if (known_) tcsetattr(fd_, TCSAFLUSH, &before_);
  }

 private:
  const int fd_;
  termios before_{};
  const bool known_;
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

absl::StatusOr<std::string> PromptForPassword(const std::string& whose) {
  const FileDescriptor terminal(open("/dev/tty", O_RDWR | O_CLOEXEC));
  if (!terminal.valid()) {
    return FieldError(
        absl::StatusCode::kFailedPrecondition, "password", "NO_TERMINAL",
        "there is no terminal to ask on; use --password-stdin, or --no-password for a subscriber who "
        "cannot log in yet");
  }
  PROV_ASSIGN_OR_RETURN(const std::string first,
                        Ask(terminal.get(), fmt::format("Password for {}: ", whose)));
  PROV_ASSIGN_OR_RETURN(const std::string second, Ask(terminal.get(), "Again: "));
  if (first != second) return InvalidField("password", "differs between the two times; nothing was changed");
  return first;
}

}  // namespace prov::cli
