// prov-agent: keeps one host following provd, and its mail engine running. docs/man/prov-agent.8.

#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <string>

#include "agents/agent.h"
#include "agents/config.h"
#include "agents/endpoints.h"
#include "agents/enrol_command.h"
#include "agents/exit_status.h"
#include "agents/import_uidls_command.h"
#include "agents/state/integrity.h"
#include "agents/state_check.h"
#include "agents/state_directory.h"
#include "common/status.h"
#include "common/version.h"

namespace prov {
namespace {

constexpr rlim_t kCheckCpuSeconds = 120;  // a million records take a few

int Complain(const absl::Status& status, int code) {
  fmt::print(stderr, "prov-agent: {}\n", MessageOf(status));
  return code;
}

int RunCheckState(const AgentConfig& config) {
  // Pages that lead back to each other have no end.
  const rlimit limit = {.rlim_cur = kCheckCpuSeconds, .rlim_max = kCheckCpuSeconds};
  setrlimit(RLIMIT_CPU, &limit);
  const absl::Status status = state::CheckIntegrity(config.state_directory);
  if (status.ok()) return 0;
  return Complain(status, absl::IsDataLoss(status) ? kExitBroken : kExitFailure);
}

CLI::App* AddImportUidls(CLI::App& app, ImportUidlsArguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "import-uidls", "Have mail that was brought into a mailbox keep the UIDLs of its old POP3 server.");
  command->add_option("mailbox", arguments.mailbox_id, "its id, as provMailboxPath of the directory ends")
      ->required();
  CLI::Option_group* from = command->add_option_group("from");
  CLI::Option* uidlist = from->add_option("--dovecot-uidlist", arguments.dovecot_uidlist,
                                          "Dovecot's file of that name, from the old Maildir");
  from->add_flag("--x-uidl", arguments.from_headers,
                 "the header X-UIDL that Qpopper has put into each message");
  from->require_option(1);
  command->add_option("--format", arguments.format, "Dovecot's pop3_uidl_format; default: %08Xu%08Xv")
      ->needs(uidlist);
  return command;
}

int Main(int argc, char** argv) {
  CLI::App app("Keeps this host following provd, and its mail engine running.", "prov-agent");
  std::string path = "/etc/prov/agent.toml";
  uint64_t removals = 0;
  app.add_option("--config", path, "configuration file")->capture_default_str();
  CLI::Option* allow =
      app.add_option("--allow-removals", removals,
                     "let the agent that is running remove up to so many records at once, for "
                     "an hour; then end");
  bool no_engine = false;
  app.add_flag("--no-engine", no_engine, "leave the mail engine to others, such as prov-engine.service");
  app.set_version_flag("--version", std::string("prov-agent ") + kVersion);
  app.fallthrough();
  EnrolArguments enrolment;
  CLI::App* enrol =
      app.add_subcommand("enrol", "Turn a token of provctl enrol-host into this host's certificate.");
  enrol->add_option("--provd", enrolment.provd, "host:port of provd's enrolment, as provctl enrol-host tells")
      ->required();
  enrol->add_option("--token-file", enrolment.token_file, "holds the token; - is standard input")
      ->capture_default_str();
  const CLI::App* check_state = app.add_subcommand(
      "check-state", "Read this host's copy to its last octet; status 3 when it is broken. Changes nothing.");
  enrol->add_flag("--start", enrolment.start,
                  "then enable and start the agent's systemd unit, and wait until this host is ready");
  ImportUidlsArguments uidls;
  const CLI::App* import_uidls = AddImportUidls(app, uidls);
  CLI11_PARSE(app, argc, argv);
  const auto config = LoadAgentConfig(path);
  if (!config.ok()) return Complain(config.status(), kExitConfiguration);
  if (const absl::Status status = CheckAddresses(*config); !status.ok()) {
    return Complain(status, kExitConfiguration);
  }
  if (*allow) {
    const absl::Status status = PermitRemovals(config->state_directory, removals);
    return status.ok() ? 0 : Complain(status, kExitFailure);
  }
  if (*check_state) return RunCheckState(*config);
  if (*import_uidls) return RunImportUidls(*config, uidls);
  if (*enrol) return RunEnrol(*config, enrolment);
  return RunAgent(*config, !no_engine);
}

}  // namespace
}  // namespace prov

int main(int argc, char** argv) { return prov::Main(argc, argv); }
