// prov-pam-worker: checks logins through PAM for the mail engine, one at a time.
//
// The engine starts it with a socket as standard input; requests and replies are frames on it
// (worker_protocol.h). It ends when the socket does, or with the engine.
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <optional>
#include <string>

#include "agents/mail/auth/pam_login.h"
#include "agents/mail/auth/secret.h"
#include "agents/mail/auth/worker_protocol.h"
#include "common/file.h"
#include "common/version.h"

namespace prov::auth {
namespace {

constexpr int kSocket = STDIN_FILENO;

// False at the end of the stream, or on an error.
bool ReadExactly(std::string& into, size_t octets) {
  into.resize(octets);
  size_t got = 0;
  while (got < octets) {
    const ssize_t more = read(kSocket, into.data() + got, octets - got);
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) return false;
    got += static_cast<size_t>(more);
  }
  return true;
}

std::optional<WorkerRequest> ReadRequest() {
  std::string header;
  if (!ReadExactly(header, kFrameHeaderOctets)) return std::nullopt;
  const std::optional<size_t> octets = DecodeHeader(header);
  if (!octets) return std::nullopt;
  std::string body;
  const bool whole = ReadExactly(body, *octets);
  std::optional<WorkerRequest> request = whole ? DecodeRequest(body) : std::nullopt;
  Wipe(body);
  return request;
}

void Harden(pid_t parent) {
  // Passwords pass through: no core file, no ptrace by others of the same user.
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  // A module that hangs would not see the socket's end.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (parent != 0 && getppid() != parent) _exit(1);  // it died before the line above
  close_range(STDERR_FILENO + 1, ~0u, 0);
  // A module may write to a connection that is gone.
  signal(SIGPIPE, SIG_IGN);
}

int Serve(const std::string& config_directory) {
  for (;;) {
    const std::optional<WorkerRequest> request = ReadRequest();
    if (!request) return 0;
    const WorkerReply reply = LoginThroughPam(config_directory, *request);
    if (!WriteAll(kSocket, EncodeReply(reply)).ok()) return 0;
  }
}

}  // namespace
}  // namespace prov::auth

int main(int argc, char** argv) {
  CLI::App app("Checks logins through PAM for prov-engine, which starts it. Requests come on standard input.",
               "prov-pam-worker");
  std::string config_directory;
  pid_t parent = 0;
  app.add_option("--config-directory", config_directory, "where PAM's service files lie; default /etc/pam.d");
  app.add_option("--parent", parent, "the engine's process; the worker ends with it");
  app.set_version_flag("--version", std::string("prov-pam-worker ") + prov::kVersion);
  CLI11_PARSE(app, argc, argv);
  prov::auth::Harden(parent);
  return prov::auth::Serve(config_directory);
}
