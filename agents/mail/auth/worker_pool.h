// A bounded number of PAM worker processes, kept alive, and a bounded queue in front of them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/mail/auth/worker_protocol.h"

namespace prov::auth {

// Thread-safe. Each worker has a thread of its own, which waits for it.
class WorkerPool {
 public:
  struct Options {
    std::string program;
    std::string config_directory;  // empty: /etc/pam.d
    size_t workers = 4;
    // From Submit to the answer, time in the queue included. A worker that exceeds it is killed and replaced.
    std::chrono::milliseconds timeout = std::chrono::seconds(10);
    size_t max_queued = 256;
    // Before a worker that failed is started again: the first, doubled up to the longest.
    std::chrono::milliseconds first_restart = std::chrono::milliseconds(100);
    std::chrono::milliseconds longest_restart = std::chrono::seconds(5);
  };
  // Called once, on a thread of the pool (or in Submit when the queue is full). An error says that nothing is
  // known about the password: DEADLINE_EXCEEDED, UNAVAILABLE, RESOURCE_EXHAUSTED (queue full), CANCELLED
  // (stopping).
  using Done = std::function<void(absl::StatusOr<WorkerReply>)>;

  static std::unique_ptr<WorkerPool> Start(Options options);
  // Kills the workers; what is under way ends in CANCELLED.
  virtual ~WorkerPool() = default;

  virtual void Submit(WorkerRequest request, Done done) = 0;

  // Of the workers that run now; for tests and metrics.
  virtual std::vector<int> WorkerPids() = 0;
};

}  // namespace prov::auth
