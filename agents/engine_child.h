// The moment between fork and exec of an engine: everything that makes it unprivileged, and bound to its
// agent.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "agents/engine_supervisor.h"

namespace prov {

// What a child that could not become an engine tells its parent through a pipe.
struct ChildFailure {
  int error = 0;
  char step[28] = {};
};

// Made in the parent; Run in the child, where only async-signal-safe calls are allowed.
class EngineChild {
 public:
  EngineChild(const std::string& program, const std::string& config, const std::optional<EngineUser>& user,
              bool low_ports, pid_t parent);

  // Lets it open as many files as the hard limit allows, takes the user's identity for good, drops all
  // capabilities but that of low ports, lets the kernel kill it with its parent, closes all descriptors but
  // standard ones and `report`, and executes the program. Writes a ChildFailure to `report` when something
  // fails, which exec closes otherwise.
  [[noreturn]] void Run(int report);

 private:
  // Each writes nothing and returns whether it worked, errno set.
  bool TakeIdentity() const;
  bool KeepLowPorts() const;
  bool DieWithParent() const;

  const std::string program_, config_;
  const std::optional<EngineUser> user_;
  const bool low_ports_;
  const pid_t parent_;
  std::vector<std::string> environment_text_;
  std::vector<char*> arguments_, environment_;
};

}  // namespace prov
