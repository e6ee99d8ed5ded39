// One PAM worker process, from the engine's side.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agents/mail/auth/worker_protocol.h"
#include "common/file.h"

namespace prov::auth {

// Not thread-safe; blocks. Spawn it on a thread that outlives it: the kernel ends the worker with the thread
// that made it. Killed and reaped when destroyed.
class WorkerProcess {
 public:
  static absl::StatusOr<std::unique_ptr<WorkerProcess>> Spawn(const std::string& program,
                                                              const std::string& config_directory);
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // False once it has ended by itself.
  bool IsAlive();

  struct Patience {
    std::chrono::steady_clock::time_point deadline;
    int stop_fd = -1;  // when it gets readable, waiting ends; -1: none
  };
  // DEADLINE_EXCEEDED when it does not answer in time, CANCELLED by `stop_fd`, UNAVAILABLE when it died,
  // INVALID_ARGUMENT when the request is too long to send. But for the last the process is of no more use
  // then.
  absl::StatusOr<WorkerReply> Ask(const WorkerRequest& request, const Patience& patience);

  pid_t pid() const { return pid_; }

 private:
  WorkerProcess(pid_t pid, FileDescriptor socket) : pid_(pid), socket_(std::move(socket)) {}

  pid_t pid_;
  FileDescriptor socket_;
};

}  // namespace prov::auth
