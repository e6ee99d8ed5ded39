// Answers the agent beside the engine: what lies in the queues, what to do with it, what became of mail. On a
// Unix socket in the queue's directory, which nobody but the engine's user and root can reach.
#pragma once

#include <asio/any_io_executor.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/queue/runner.h"
#include "agents/mail/queue/trace_log.h"

namespace prov::control {

constexpr char kSocketName[] = "control";  // in engine.queue.directory
// At once; one more is told to come again.
constexpr size_t kMostConnections = 8;

struct ControlledQueue {
  std::string name;  // "relay", "forward"
  queue::Runner* runner = nullptr;
};

// Belongs to one event loop; to be destroyed after it has ended and the pool was joined.
class ControlServer {
 public:
  virtual ~ControlServer() = default;
  // All that is passed must outlive it. A socket that lies at `path` is replaced.
  static absl::StatusOr<std::unique_ptr<ControlServer>> Start(const asio::any_io_executor& executor,
                                                              const std::string& path,
                                                              std::vector<ControlledQueue> queues,
                                                              queue::TraceLog& trace,
                                                              net::BlockingPool& pool);
  // Takes no more connections and cuts off those that are open.
  virtual void Stop() = 0;
};

}  // namespace prov::control
