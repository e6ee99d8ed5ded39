// The commands of provctl, by what they are about. Each registers itself with CLI11 and leaves what to do in
// `chosen`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "absl/status/status.h"
#include "cli/session.h"

namespace prov::cli {

using Action = std::function<absl::Status(Session&)>;

void AddSubscriberCommands(CLI::App& app, Action& chosen);
void AddLifecycleCommands(CLI::App& app, Action& chosen);
void AddDomainCommands(CLI::App& app, Action& chosen);
void AddFleetCommands(CLI::App& app, Action& chosen);
void AddOperationCommands(CLI::App& app, Action& chosen);

// A subcommand whose action runs after the connection is made. The options it captures live as long as the
// program.
template <typename Options>
CLI::App* AddCommand(CLI::App& app, Action& chosen, const char* name, const char* description,
                     std::shared_ptr<Options> options, absl::Status (*run)(Session&, const Options&)) {
  CLI::App* command = app.add_subcommand(name, description);
  command->callback(
      [&chosen, options, run] { chosen = [options, run](Session& s) { return run(s, *options); }; });
  return command;
}

}  // namespace prov::cli
