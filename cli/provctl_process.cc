#include "cli/provctl_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace prov::cli {
namespace {

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void Redirect(const std::string& path, int flags, int to) {
  const int fd = open(path.c_str(), flags, 0600);
  if (fd < 0 || dup2(fd, to) < 0) _exit(126);
  close(fd);
}

}  // namespace

void ExecProvctl(const std::string& home, const std::string& config, std::vector<std::string> arguments) {
  setenv("HOME", home.c_str(), 1);
  if (config.empty()) {
    unsetenv("PROVCTL_CONFIG");
  } else {
    setenv("PROVCTL_CONFIG", config.c_str(), 1);
  }
  arguments.insert(arguments.begin(), "provctl");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  execv("cli/provctl", argv.data());
  _exit(127);
}

ProvctlProcess::ProvctlProcess(std::string directory, const std::string& config,
                               std::vector<std::string> arguments, const std::string& standard_input)
    : directory_(std::move(directory)) {
  std::ofstream(directory_ + "/stdin", std::ios::binary) << standard_input;
  pid_ = fork();
  if (pid_ != 0) return;
  setsid();
  Redirect(directory_ + "/stdin", O_RDONLY, STDIN_FILENO);
  Redirect(directory_ + "/stdout", O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
  Redirect(directory_ + "/stderr", O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
  ExecProvctl(directory_, config, std::move(arguments));
}

ProvctlProcess::~ProvctlProcess() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void ProvctlProcess::Signal(int signal_number) { kill(pid_, signal_number); }

std::string ProvctlProcess::ErrSoFar() const { return Contents(directory_ + "/stderr"); }

Finished ProvctlProcess::Wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), Contents(directory_ + "/stdout"),
          Contents(directory_ + "/stderr")};
}

Finished RunProvctl(const std::string& directory, const std::string& config,
                    std::vector<std::string> arguments, const std::string& standard_input) {
  return ProvctlProcess(directory, config, std::move(arguments), standard_input).Wait();
}

}  // namespace prov::cli
