// Starts the mail engine as an unprivileged process of its own, and starts it again when it ends.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/sync/backoff.h"
#include "common/clock.h"

namespace prov {

// Whom the engine runs as.
struct EngineUser {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // gid included
};

// The user of that name. Nothing when the process is not root: then the engine runs as the process does, and
// a `name` that says otherwise is INVALID_ARGUMENT, as is one that is unknown or root. Root without a name is
// INVALID_ARGUMENT too: an engine never runs as root (I8).
absl::StatusOr<std::optional<EngineUser>> ResolveEngineUser(const std::string& name);

struct EngineOptions {
  std::string program;
  std::string config;              // it is run as PROGRAM --config CONFIG
  std::optional<EngineUser> user;  // nothing: as this process, which then must not be root
  bool low_ports = false;          // may listen below 1024: keeps CAP_NET_BIND_SERVICE and nothing else
  sync::Backoff restart = {.first = std::chrono::milliseconds(100), .longest = std::chrono::seconds(10)};
  // An engine that ran for so long was well: the next restart does not wait.
  std::chrono::milliseconds settled = std::chrono::seconds(10);
  std::chrono::milliseconds stop_patience = std::chrono::seconds(10);
};

// The kernel kills the engine when the thread that started it ends, however that happens: use it from the
// main thread alone. SIGCHLD must not be ignored.
class EngineSupervisor {
 public:
  // `clock` must outlive it.
  EngineSupervisor(EngineOptions options, const Clock& clock);
  EngineSupervisor(const EngineSupervisor&) = delete;
  EngineSupervisor& operator=(const EngineSupervisor&) = delete;
  // Stops the engine as Stop does.
  ~EngineSupervisor();

  // Notices an engine that ended, and starts one when it is time. To be called after SIGCHLD and about once a
  // second.
  void Poll();
  // When Poll has something to do next, if no signal comes.
  std::chrono::milliseconds NextPoll() const;
  // SIGTERM, then SIGKILL when patience ends. It is gone when this returns, and Poll starts no other.
  void Stop();

  // 0: none runs.
  pid_t pid() const { return pid_; }
  uint64_t starts() const { return starts_; }
  // How often it was ended by what a broken file can do to its reader: SIGSEGV, SIGBUS, SIGABRT.
  uint64_t crashes() const { return crashes_; }

 private:
  absl::Status Start();
  void Ended(int status);

  const EngineOptions options_;
  const Clock& clock_;
  pid_t pid_ = 0;
  bool stopped_ = false;
  uint64_t starts_ = 0;
  uint64_t crashes_ = 0;
  uint64_t failures_ = 0;
  std::chrono::steady_clock::time_point started_, start_at_;
};

}  // namespace prov
