// provctl: the helpdesk's and the operator's hands. Man page: docs/man/provctl.1.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"
#include "common/version.h"

namespace prov::cli {
namespace {

constexpr char kAbout[] =
    "provctl: subscribers, domains and hosts of a service provider.\n\n"
    "Example:\n"
    "  provctl add-domain example.net\n"
    "  provctl add-user alice@example.net --name \"Alice Example\" --wait\n"
    "  provctl status";
constexpr char kExits[] =
    "Exit status: 0 done, 1 failed, 2 usage or configuration, 3 not found, 4 already exists, 5 invalid "
    "input,\n"
    "6 permission denied, 7 provd not reachable, 8 written but not yet everywhere, 9 conflict with the "
    "present state.\n\n"
    "provctl COMMAND --help tells more of a command. Passwords are asked for, or read with --password-stdin.";

void AddGlobalOptions(CLI::App& app, GlobalOptions& options) {
  app.add_option("--config", options.connection.config,
                 "TOML with server, ca, certificate, key; default: $PROVCTL_CONFIG, ~/.config/provctl.toml, "
                 "/etc/prov/provctl.toml");
  app.add_option("--server", options.connection.server, "host:port of provd");
  app.add_option("--ca", options.connection.ca, "PEM file of the CA");
  app.add_option("--certificate", options.connection.certificate, "PEM file of your certificate");
  app.add_option("--key", options.connection.key, "PEM file of its key");
  app.add_option("-o,--output", options.output, "table for people, json for programs")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  app.add_option("--timeout", options.timeout, "for the call and --wait together: 500ms, 30s, 5m")
      ->capture_default_str();
  app.add_flag("--wait", options.wait, "after a write, wait until directory and hosts have it");
  app.add_flag("--dry-run", options.dry_run, "check a write and change nothing");
  app.add_option("--request-id", options.request_id,
                 "of a write: sent again with the same content it changes nothing; default: a fresh one");
  app.add_flag("-q,--quiet", options.quiet, "print nothing but errors and JSON");
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

// The word that stands where a command should and is none; "" if there is no such word.
std::string UnknownCommand(const CLI::App& app, int argc, char** argv) {
  const std::vector<std::string> names = CommandNames(app);
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with('-')) {
      const CLI::Option* option = app.get_option_no_throw(word);
      if (option != nullptr && option->get_items_expected_max() > 0) ++i;  // its value
      continue;
    }
    return std::find(names.begin(), names.end(), word) == names.end() ? word : "";
  }
  return "";
}

// CLI11 would say "a subcommand is required" for a mistyped one; people want to know which they meant. And
// what it repeats of the command line must not drive the terminal.
int UsageError(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  constexpr size_t kMostShown = 300;
  if (const std::string word = UnknownCommand(app, argc, argv); !word.empty()) {
    const std::string nearest = Nearest(word, CommandNames(app));
    fmt::print(stderr, "provctl: there is no command \"{}\"; {}\n",
               Safe(std::string_view(word).substr(0, 60)),
               nearest.empty() ? "provctl --help lists them" : fmt::format("did you mean {}?", nearest));
    return kUsage;
  }
  std::string help = "provctl";
  for (const CLI::App* command : app.get_subcommands()) help += " " + command->get_name();
  fmt::print(stderr, "provctl: {}; see {} --help\n",
             Safe(std::string_view(error.what()).substr(0, kMostShown)), help);
  return kUsage;
}

int Run(const Action& chosen, Session& session) {
  if (const absl::Status status = session.Open(); !status.ok()) {
    fmt::print(stderr, "{}", ErrorText(status));
    return kUsage;
  }
  const absl::Status status = chosen(session);
  if (!status.ok()) fmt::print(stderr, "{}", ErrorText(status));
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    fmt::print(stderr, "provctl: standard output: {}\n", std::strerror(errno));
    return status.ok() ? kFailed : ExitOf(status);
  }
  return ExitOf(status);
}

int Main(int argc, char** argv) {
  // gRPC writes its own story of each failed handshake to standard error; ours is there already.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  Session session;
  Action chosen;
  CLI::App app(kAbout, "provctl");
  app.footer(kExits);
  app.require_subcommand(1);
  app.fallthrough();  // global options may stand behind the command
  app.set_version_flag("--version", std::string("provctl ") + kVersion);
  AddGlobalOptions(app, session.options);
  AddSubscriberCommands(app, chosen);
  AddMailboxCommands(app, chosen);
  AddImportCommands(app, chosen);
  AddLifecycleCommands(app, chosen);
  AddScheduleCommands(app, chosen);
  AddDomainCommands(app, chosen);
  AddMailingListCommands(app, chosen);
  AddMemberCommands(app, chosen);
  AddPoolCommands(app, chosen);
  AddHostCommands(app, chosen);
  AddInspectionCommand(app, chosen);
  AddMoveCommands(app, chosen);
  AddQueueCommands(app, chosen);
  AddTraceCommand(app, chosen);
  AddEnrolmentCommands(app, chosen);
  AddCertificateCommands(app, chosen);
  AddDirectoryCommands(app, chosen);
  AddApprovalCommands(app, chosen);
  AddOperationCommands(app, chosen);
  AddAuditCommands(app, chosen);
  AddHistoryCommand(app, chosen);
  AddWatchCommand(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    return app.exit(asked);  // --help, --version
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error, argc, argv);
  }
  return Run(chosen, session);
}

}  // namespace
}  // namespace prov::cli

int main(int argc, char** argv) { return prov::cli::Main(argc, argv); }
