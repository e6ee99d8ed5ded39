#include "agents/unit_start.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/status.h"

namespace prov {
namespace {

constexpr size_t kMostOutputOctets = 64 * 1024;

absl::StatusOr<std::string> ReadAll(int fd) {
  std::string output;
  char octets[4096];
  for (;;) {
    const ssize_t got = read(fd, octets, sizeof octets);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read what systemctl says");
    if (got == 0) return output;
    output.append(octets, static_cast<size_t>(got));
    if (output.size() > kMostOutputOctets) return absl::ResourceExhaustedError("systemctl says too much");
  }
}

absl::StatusOr<std::string> Run(const std::vector<std::string>& arguments) {
  std::vector<std::string> text = {"systemctl"};
  text.insert(text.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : text) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  const FileDescriptor reading(ends[0]);
  FileDescriptor writing(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, writing.get(), STDOUT_FILENO);
  pid_t pid = 0;
  const int code = posix_spawnp(&pid, "systemctl", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code != 0) return ErrnoStatus(code, "run systemctl");
  PROV_RETURN_IF_ERROR(writing.Close());
  auto output = ReadAll(reading.get());
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return absl::FailedPreconditionError(fmt::format("systemctl {} failed", arguments.front()));
  return output;
}

// "ActiveState=active\nStatusText=…" → by name.
std::map<std::string, std::string> PropertiesOf(const std::string& shown) {
  std::map<std::string, std::string> properties;
  for (const absl::string_view line : absl::StrSplit(shown, '\n', absl::SkipEmpty()))
    properties.insert(absl::StrSplit(line, absl::MaxSplits('=', 1)));
  return properties;
}

}  // namespace

Systemctl RealSystemctl() { return Run; }

absl::Status StartUnit(const Systemctl& systemctl, const std::function<void(const std::string&)>& tell,
                       const std::function<void()>& pause) {
  PROV_RETURN_IF_ERROR(systemctl({"enable", "--quiet", kAgentUnit}).status());
  PROV_RETURN_IF_ERROR(systemctl({"start", "--no-block", kAgentUnit}).status());
  std::string told;
  for (;; pause()) {
    PROV_ASSIGN_OR_RETURN(const std::string shown,
                          systemctl({"show", "--property=ActiveState,Job,StatusText", kAgentUnit}));
    std::map<std::string, std::string> unit = PropertiesOf(shown);
    if (!unit["StatusText"].empty() && unit["StatusText"] != told) tell(told = unit["StatusText"]);
    if (unit["ActiveState"] == "active") return absl::OkStatus();
    // A job is waiting: it has not begun, or begins again.
    const bool waits = !unit["Job"].empty() && unit["Job"] != "0";
    if (unit["ActiveState"] == "failed" || (unit["ActiveState"] == "inactive" && !waits)) {
      return absl::FailedPreconditionError(
          fmt::format("{0} is {1}: journalctl -u {0} tells why; then systemctl start {0}", kAgentUnit,
                      unit["ActiveState"]));
    }
  }
}

}  // namespace prov
