#include "agents/enrol_command.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "agents/enrolment.h"
#include "agents/unit_start.h"
#include "common/file.h"
#include "common/status.h"

namespace prov {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitConfiguration = 2;
constexpr std::chrono::milliseconds kLook{500};

int Complain(const absl::Status& status, int code) {
  fmt::print(stderr, "prov-agent: {}\n", MessageOf(status));
  return code;
}

// The first line of standard input.
absl::StatusOr<std::string> TokenLine() {
  if (isatty(STDIN_FILENO)) fmt::print(stderr, "token: ");
  char line[kMostTokenOctets + 2];
  if (std::fgets(line, sizeof line, stdin) == nullptr) return absl::InvalidArgumentError("no token came");
  return std::string(line);
}

int Start(const AgentConfig& config) {
  if (sd_booted() <= 0) {
    return Complain(
        absl::FailedPreconditionError(fmt::format(
            "systemd does not run this machine: start prov-agent --config {} by yourself; the host "
            "is ready when it has logged the event ready, and provctl show-host {} says so",
            config.path, config.host)),
        kExitFailure);
  }
  const absl::Status status = StartUnit(
      RealSystemctl(),
      [](const std::string& line) {
        fmt::print("{}\n", line);
        std::fflush(stdout);
      },
      [] { std::this_thread::sleep_for(kLook); });
  if (!status.ok()) return Complain(status, kExitFailure);
  fmt::print("{} is ready\n", config.host);
  return 0;
}

}  // namespace

// A token is a secret: from a file or standard input, never from the command line, which all users can see.
int RunEnrol(const AgentConfig& config, const EnrolArguments& arguments) {
  setenv("GRPC_VERBOSITY", "NONE", 0);
  const auto text =
      arguments.token_file == "-" ? TokenLine() : ReadFile(arguments.token_file, kMostTokenOctets);
  if (!text.ok()) return Complain(text.status(), kExitFailure);
  const auto token = ParseEnrolmentToken(*text);
  if (!token.ok()) return Complain(token.status(), kExitConfiguration);
  const absl::Status status = Enrol(config, arguments.provd, *token);
  if (!status.ok()) return Complain(status, kExitFailure);
  fmt::print("enrolled as {}: {}\n", config.host, config.tls.certificate);
  std::fflush(stdout);
  return arguments.start ? Start(config) : 0;
}

}  // namespace prov
