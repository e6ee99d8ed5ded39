#include "server/enrol/ca_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "common/file.h"
#include "common/status.h"
#include "server/enrol/authority.h"

namespace prov::enrol {
namespace {

struct IssueOptions {
  Authority::Subject subject;
  std::string lifetime = "90d";
  std::string certificate;
  std::string key;
};

// "12h", "90d".
absl::StatusOr<std::chrono::hours> ParseLifetime(const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  constexpr int64_t kMostDays = 3650;
  if (error != std::errc() || number <= 0 || number > kMostDays * 24 || (unit != "h" && unit != "d")) {
    return InvalidField("lifetime",
                        fmt::format("\"{}\" is not a lifetime; write 12h or 90d", text.substr(0, 40)));
  }
  return std::chrono::hours(unit == "d" ? number * 24 : number);
}

absl::Status Init(const std::string& directory, bool if_missing) {
  if (if_missing && Authority::Exists(directory)) {
    fmt::print("{} has a CA already\n", directory);
    return absl::OkStatus();
  }
  PROV_RETURN_IF_ERROR(Authority::Create(directory));
  fmt::print("made a CA in {}; keep ca.key secret, and a copy of it elsewhere\n", directory);
  return absl::OkStatus();
}

absl::Status Issue(const std::string& directory, IssueOptions options) {
  PROV_ASSIGN_OR_RETURN(options.subject.lifetime, ParseLifetime(options.lifetime));
  PROV_ASSIGN_OR_RETURN(const Authority authority, Authority::Load(directory));
  PROV_ASSIGN_OR_RETURN(const Authority::Issued issued, authority.Issue(options.subject));
  PROV_RETURN_IF_ERROR(ReplaceFile(options.key, issued.key_pem, 0600));
  PROV_RETURN_IF_ERROR(ReplaceFile(options.certificate, issued.certificate_pem, 0644));
  fmt::print("issued {} for {}, good for {}\n", options.certificate, options.subject.identity,
             options.lifetime);
  return absl::OkStatus();
}

}  // namespace

int RunCaCommand(int argc, char** argv) {
  CLI::App app(
      "The private CA that provd, agents and callers trust.\n\nExample:\n"
      "  provd ca init --directory /etc/prov/ca\n"
      "  provd ca issue --directory /etc/prov/ca --identity prov://agent/store1 \\\n"
      "    --certificate store1.pem --key store1.key");
  std::string directory;
  bool if_missing = false;
  IssueOptions issue_options;
  CLI::App* ca = app.add_subcommand("ca", "certificates");
  ca->require_subcommand(1);
  CLI::App* init = ca->add_subcommand("init", "make a CA: ca.pem and ca.key");
  init->add_flag("--if-missing", if_missing, "do nothing if there is one");
  CLI::App* issue = ca->add_subcommand("issue", "make a key and a certificate");
  issue
      ->add_option("--identity", issue_options.subject.identity,
                   "prov://ROLE/NAME; roles: provd, agent, operator, billing, helpdesk, auditor")
      ->required();
  issue->add_option("--dns", issue_options.subject.dns_names, "host name it serves as; repeatable")
      ->allow_extra_args(false);
  issue->add_option("--ip", issue_options.subject.ip_addresses, "address it serves at; repeatable")
      ->allow_extra_args(false);
  issue->add_option("--lifetime", issue_options.lifetime, "from 1h to 3650d")->capture_default_str();
  issue->add_option("--certificate", issue_options.certificate, "file to write")->required();
  issue->add_option("--key", issue_options.key, "file to write, readable by its owner only")->required();
  for (CLI::App* command : {init, issue})
    command->add_option("--directory", directory, "of the CA")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = init->parsed() ? Init(directory, if_missing) : Issue(directory, issue_options);
  if (status.ok()) return 0;
  fmt::print(stderr, "provd ca: {}\n", MessageOf(status));
  return 1;
}

}  // namespace prov::enrol
