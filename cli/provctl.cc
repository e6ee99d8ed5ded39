// provctl: the helpdesk's and the operator's hands. Man page: docs/man/provctl.1.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

namespace prov::cli {
namespace {

constexpr char kVersion[] = "0.1.0";
constexpr char kAbout[] =
    "provctl: subscribers, domains and hosts of a service provider.\n\n"
    "Example:\n"
    "  provctl add-domain example.net\n"
    "  provctl add-user alice@example.net --name \"Alice Example\" --wait\n"
    "  provctl status";
constexpr char kExits[] =
    "Exit status: 0 done, 1 failed, 2 usage, 3 not found, 4 already exists, 5 invalid input, 6 permission "
    "denied,\n"
    "7 provd not reachable, 8 written but not yet everywhere, 9 conflict with the present state.";

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

// CLI11 says "a subcommand is required" for a mistyped one; people want to know which they meant.
void SuggestCommand(const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with('-')) continue;
    if (std::find(names.begin(), names.end(), word) != names.end()) return;
    const std::string nearest = Nearest(word, names);
    if (!nearest.empty()) {
      fmt::print(stderr, "provctl: there is no command \"{}\"; did you mean {}?\n", Safe(word.substr(0, 60)),
                 nearest);
      return;
    }
  }
}

int Main(int argc, char** argv) {
  Session session;
  Action chosen;
  CLI::App app(kAbout);
  app.footer(kExits);
  app.require_subcommand(1);
  app.fallthrough();  // global options may stand behind the command
  app.set_version_flag("--version", kVersion);
  AddGlobalOptions(app, session.options);
  AddSubscriberCommands(app, chosen);
  AddLifecycleCommands(app, chosen);
  AddDomainCommands(app, chosen);
  AddFleetCommands(app, chosen);
  AddOperationCommands(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    if (status != 0) SuggestCommand(app, argc, argv);
    return status == 0 ? kDone : kUsage;
  }
  absl::Status status = session.Open();
  if (status.ok()) status = chosen(session);
  if (!status.ok()) fmt::print(stderr, "{}", ErrorText(status));
  return ExitOf(status);
}

}  // namespace
}  // namespace prov::cli

int main(int argc, char** argv) { return prov::cli::Main(argc, argv); }
