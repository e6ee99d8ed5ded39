// prov-agent: keeps one host following provd, and its mail engine running. docs/man/prov-agent.8.

#include <fmt/format.h>
#include <signal.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include "agents/agent_metrics.h"
#include "agents/certificate_files.h"
#include "agents/config.h"
#include "agents/endpoints.h"
#include "agents/engine_supervisor.h"
#include "agents/enrolment.h"
#include "agents/host_drivers.h"
#include "agents/moves/move_worker.h"
#include "agents/moves/transfer_service.h"
#include "agents/renewal.h"
#include "agents/state/reader.h"
#include "agents/state_directory.h"
#include "agents/sync/role_sync.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/status.h"
#include "common/version.h"

namespace prov {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitConfiguration = 2;
// An agent that was told to stop may still be finishing when the next one starts.
constexpr std::chrono::seconds kClaimPatience{15};
constexpr std::chrono::milliseconds kTick{1000};

// The signals this program waits for. Blocked before any thread starts, so that only the main thread has
// them.
sigset_t WaitedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&set, number);
  return set;
}

int WaitForSignal(const sigset_t& set, std::chrono::milliseconds pause) {
  const timespec time = {.tv_sec = pause.count() / 1000, .tv_nsec = pause.count() % 1000 * 1000000};
  return sigtimedwait(&set, nullptr, &time);  // -1: none came
}

// Everything that runs, in the order in which it is made; it ends in the reverse order.
class Agent {
 public:
  // `runs_engine`: where a role has one.
  Agent(const AgentConfig& config, bool runs_engine) : config_(config), runs_engine_(runs_engine) {}

  absl::Status Start() {
    std::optional<EngineUser> user;
    const bool has_engine = NeedsEngine(config_);
    if (has_engine || !config_.engine.user.empty()) {
      PROV_ASSIGN_OR_RETURN(user, ResolveEngineUser(config_.engine.user));
    }
    PROV_RETURN_IF_ERROR(OpenState(user));
    PROV_RETURN_IF_ERROR(FinishAdoption(config_.tls));
    if (const auto own = ReadOwnCertificate(config_.tls); absl::IsNotFound(own.status())) {
      return Annotate(own.status(),
                      "this host has no certificate yet; an operator makes a token with provctl "
                      "enrol-host, and prov-agent enrol takes it");
    }
    PROV_RETURN_IF_ERROR(StartSync(user));
    renewal_ = std::make_unique<CertificateRenewal>(RenewalOptions{config_.tls, config_.provd,
                                                                   [this] {
                                                                     for (const auto& sync : syncs_)
                                                                       sync->Reconnect();
                                                                   }},
                                                    SystemClock());
    if (!config_.metrics.empty()) {
      PROV_ASSIGN_OR_RETURN(metrics_, MetricsServer::Start(config_.metrics));
    }
    if (!has_engine || !runs_engine_) return absl::OkStatus();
    EngineOptions options{.program = config_.engine.program,
                          .config = config_.path,
                          .user = user,
                          .low_ports = NeedsLowPorts(config_)};
    engine_ = std::make_unique<EngineSupervisor>(std::move(options), SystemClock());
    engine_->Poll();
    return absl::OkStatus();
  }

  // Until a signal says stop, or the state cannot be written any more.
  absl::Status Run(const sigset_t& signals) {
    for (;;) {
      const int signal = WaitForSignal(signals, engine_ ? std::min(kTick, engine_->NextPoll()) : kTick);
      if (signal == SIGTERM || signal == SIGINT) break;
      if (signal == SIGHUP) ReloadLogLevel();
      Tick();
    }
    if (fatal_) return absl::InternalError("the host's copy can no longer be written");
    return absl::OkStatus();
  }

 private:
  absl::Status OpenState(const std::optional<EngineUser>& user) {
    std::optional<gid_t> group;
    if (user) group = user->gid;
    PROV_ASSIGN_OR_RETURN(auto directory,
                          StateDirectory::Claim(config_.state_directory, group, kClaimPatience));
    directory_.emplace(std::move(directory));
    PROV_ASSIGN_OR_RETURN(state_, directory_->OpenState());
    PROV_ASSIGN_OR_RETURN(reader_, state::StateReader::Open(config_.state_directory));
    return absl::OkStatus();
  }

  absl::Status StartSync(const std::optional<EngineUser>& user) {
    std::optional<drivers::FileOwner> spool;
    if (user) spool = drivers::FileOwner{user->uid, user->gid};
    PROV_RETURN_IF_ERROR(StartMoves(spool));
    drivers_ = MakeHostDrivers(config_, spool, *state_, *reader_, SystemClock(), [this] {
      if (moves_) moves_->Wake();
    });
    for (const v1::Role role : config_.roles) {
      sync::RoleSyncOptions options;
      options.session.role = role;
      options.session.agent_version = kVersion;
      options.session.endpoints = EndpointsOf(config_, role);
      options.session.allowed_removals = [path = config_.state_directory] {
        return PermittedRemovals(path, SystemClock());
      };
      options.provd = config_.provd;
      options.inspect_every = config_.inspection.every;
      options.repair = config_.inspection.repair;
      options.tls = {config_.tls.ca, config_.tls.certificate, config_.tls.key};
      options.on_fatal = [this](const absl::Status& status) {
        Log(Level::kError, "fatal", {{"error", status}});
        fatal_ = true;
        kill(getpid(), SIGTERM);
      };
      PROV_ASSIGN_OR_RETURN(auto follower, sync::RoleSync::Start(std::move(options), drivers_.of_role[role],
                                                                 *state_, SystemClock()));
      syncs_.push_back(std::move(follower));
    }
    return absl::OkStatus();
  }

  // For mailboxes that move to and from this host's pool.
  absl::Status StartMoves(const std::optional<drivers::FileOwner>& spool) {
    if (std::find(config_.roles.begin(), config_.roles.end(), v1::STORE) == config_.roles.end())
      return absl::OkStatus();
    const TlsFiles tls{config_.tls.ca, config_.tls.certificate, config_.tls.key};
    if (!config_.store.transfer_listen.empty()) {
      PROV_ASSIGN_OR_RETURN(transfer_,
                            moves::TransferServer::Start(config_.store.transfer_listen, tls,
                                                         std::make_unique<moves::TransferService>(
                                                             *reader_, config_.store.maildir_root, spool)));
    }
    moves_ = moves::MoveWorker::Start({.host = config_.host,
                                       .provd = config_.provd,
                                       .tls = tls,
                                       .maildir_root = config_.store.maildir_root,
                                       .owner = spool},
                                      *reader_, SystemClock());
    return absl::OkStatus();
  }

  void Tick() {
    std::vector<RoleHealth> health;
    for (size_t i = 0; i < syncs_.size(); ++i) {
      syncs_[i]->CheckSilence();
      health.push_back({config_.roles[i], syncs_[i]->connected(), syncs_[i]->drifting()});
    }
    if (engine_) {
      engine_->Poll();
      UpdateEngineMetrics(engine_->pid() != 0, engine_->starts());
    }
    const CertificateRenewal::Health certificate = renewal_->health();
    UpdateCertificateMetrics(certificate.expires, certificate.failures);
    UpdateAgentMetrics(*state_, health);
  }

  void ReloadLogLevel() const {
    const auto config = LoadAgentConfig(config_.path);
    const absl::Status status = config.ok() ? SetLogLevel(config->log_level) : config.status();
    if (status.ok()) {
      Log(Level::kInfo, "log_level", {{"level", config->log_level}});
    } else {
      Log(Level::kError, "reload_failed", {{"error", status}});
    }
  }

  const AgentConfig config_;
  const bool runs_engine_;
  std::atomic<bool> fatal_{false};
  std::optional<StateDirectory> directory_;
  std::unique_ptr<state::StateWriter> state_;
  std::unique_ptr<state::StateReader> reader_;
  std::unique_ptr<moves::TransferServer> transfer_;
  std::unique_ptr<moves::MoveWorker> moves_;
  HostDrivers drivers_;
  std::vector<std::unique_ptr<sync::RoleSync>> syncs_;
  std::unique_ptr<CertificateRenewal> renewal_;
  std::unique_ptr<MetricsServer> metrics_;
  std::unique_ptr<EngineSupervisor> engine_;
};

int Complain(const absl::Status& status, int code) {
  fmt::print(stderr, "prov-agent: {}\n", MessageOf(status));
  return code;
}

int RunAgent(const AgentConfig& config, bool runs_engine) {
  const sigset_t signals = WaitedSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  if (const absl::Status status = InitLog("prov-agent", config.log_level); !status.ok()) {
    return Complain(status, kExitConfiguration);
  }
  Agent agent(config, runs_engine);
  if (const absl::Status status = agent.Start(); !status.ok()) {
    Log(Level::kError, "start_failed", {{"error", status}});
    return absl::IsInvalidArgument(status) ? kExitConfiguration : kExitFailure;
  }
  Log(Level::kInfo, "ready", {{"host", config.host}, {"roles", config.roles.size()}, {"version", kVersion}});
  sd_notify(0, "READY=1");
  const absl::Status status = agent.Run(signals);
  sd_notify(0, "STOPPING=1");
  Log(Level::kInfo, "stopping");
  return status.ok() ? 0 : kExitFailure;
}

struct EnrolArguments {
  std::string provd;
  std::string token_file = "-";
};

// The first line of standard input.
absl::StatusOr<std::string> TokenLine() {
  if (isatty(STDIN_FILENO)) fmt::print(stderr, "token: ");
  char line[kMostTokenOctets + 2];
  if (std::fgets(line, sizeof line, stdin) == nullptr) return absl::InvalidArgumentError("no token came");
  return std::string(line);
}

// A token is a secret: from a file or standard input, never from the command line, which all users can see.
int RunEnrol(const AgentConfig& config, const EnrolArguments& arguments) {
  setenv("GRPC_VERBOSITY", "NONE", 0);
  const auto text =
      arguments.token_file == "-" ? TokenLine() : ReadFile(arguments.token_file, kMostTokenOctets);
  if (!text.ok()) return Complain(text.status(), kExitFailure);
  const auto token = ParseEnrolmentToken(*text);
  if (!token.ok()) return Complain(token.status(), kExitConfiguration);
  const absl::Status status = Enrol(config, arguments.provd, *token);
  if (!status.ok()) return Complain(status, kExitFailure);
  fmt::print("enrolled as {}: {}\n", config.host, config.tls.certificate);
  return 0;
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
  if (*enrol) return RunEnrol(*config, enrolment);
  return RunAgent(*config, !no_engine);
}

}  // namespace
}  // namespace prov

int main(int argc, char** argv) { return prov::Main(argc, argv); }
