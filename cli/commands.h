// The commands of provctl, by what they are about. Each registers itself with CLI11 and leaves what to do in
// `chosen`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "cli/session.h"

namespace prov::cli {

using Action = std::function<absl::Status(Session&)>;

void AddSubscriberCommands(CLI::App& app, Action& chosen);
void AddMailboxCommands(CLI::App& app, Action& chosen);
void AddImportCommands(CLI::App& app, Action& chosen);
void AddLifecycleCommands(CLI::App& app, Action& chosen);
void AddScheduleCommands(CLI::App& app, Action& chosen);
void AddDomainCommands(CLI::App& app, Action& chosen);
void AddMailingListCommands(CLI::App& app, Action& chosen);
void AddMemberCommands(CLI::App& app, Action& chosen);
void AddApprovalCommands(CLI::App& app, Action& chosen);
void AddPoolCommands(CLI::App& app, Action& chosen);
void AddHostCommands(CLI::App& app, Action& chosen);
void AddDrainCommand(CLI::App& app, Action& chosen);
void AddInspectionCommand(CLI::App& app, Action& chosen);
void AddMoveCommands(CLI::App& app, Action& chosen);
void AddQueueCommands(CLI::App& app, Action& chosen);
void AddTraceCommand(CLI::App& app, Action& chosen);
void AddEnrolmentCommands(CLI::App& app, Action& chosen);
void AddCertificateCommands(CLI::App& app, Action& chosen);
void AddDirectoryCommands(CLI::App& app, Action& chosen);
void AddAuditCommands(CLI::App& app, Action& chosen);
void AddHistoryCommand(CLI::App& app, Action& chosen);
void AddOperationCommands(CLI::App& app, Action& chosen);
void AddWatchCommand(CLI::App& app, Action& chosen);

inline constexpr char kSeeGlobal[] =
    "Options that all commands have (--wait, -o json, …) and exit statuses: provctl --help, provctl(1).";
inline constexpr char kPasswordStdinHelp[] =
    "read the password from standard input, up to the first line end";

// A subcommand whose action runs after the connection is made. `description` ends with a line "Example: …".
// The options it captures live as long as the program.
template <typename Options>
CLI::App* AddCommand(CLI::App& app, Action& chosen, const char* name, std::string description,
                     std::shared_ptr<Options> options, absl::Status (*run)(Session&, const Options&)) {
  const size_t example = description.find("\nExample: ");
  CLI::App* command = app.add_subcommand(name, description.substr(0, example));
  command->footer(example == std::string::npos
                      ? kSeeGlobal
                      : "Example:\n  " + description.substr(example + sizeof("\nExample:")) + "\n\n" +
                            kSeeGlobal);
  command->callback(
      [&chosen, options, run] { chosen = [options, run](Session& s) { return run(s, *options); }; });
  return command;
}

}  // namespace prov::cli
