// prov-agent: keeps one host following provd, and its mail engine running. docs/man/prov-agent.8.

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "agents/agent_metrics.h"
#include "agents/certificate_files.h"
#include "agents/config.h"
#include "agents/crash_count.h"
#include "agents/drivers/purge_worker.h"
#include "agents/endpoints.h"
#include "agents/engine_status.h"
#include "agents/engine_supervisor.h"
#include "agents/enrol_command.h"
#include "agents/host_drivers.h"
#include "agents/moves/move_worker.h"
#include "agents/moves/transfer_service.h"
#include "agents/readiness.h"
#include "agents/renewal.h"
#include "agents/state/integrity.h"
#include "agents/state/reader.h"
#include "agents/state_check.h"
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
// Of an engine that crashes again and again, not each crash is worth a look at the whole copy.
constexpr std::chrono::minutes kCheckInterval{1};
constexpr std::chrono::minutes kSettled{1};
constexpr rlim_t kCheckCpuSeconds = 120;  // a million records take a few
constexpr std::chrono::milliseconds kTickUntilReady{50};
// systemd gives up on a unit that is not ready in time. A first copy may take minutes, and provd may be away
// for hours: each word that we still wait buys as much again.
constexpr std::chrono::seconds kExtension{60};
// How old the number of sessions may be that provd knows, unless it comes from or goes to 0.
constexpr std::chrono::seconds kSessionsInterval{10};

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

// What provd is told while a copy that was broken is made anew; empty when none was.
std::string NoticeOf(const std::string& state_directory) {
  if (BrokenStateTime(state_directory) == std::chrono::system_clock::time_point()) return "";
  return fmt::format(
      "the host's copy was broken and is made anew from a snapshot; the old one is {}/broken.mdb: look "
      "at this host's disk and memory, then remove it",
      state_directory);
}

// Everything that runs, in the order in which it is made; it ends in the reverse order.
class Agent {
 public:
  // `runs_engine`: where a role has one.
  Agent(const AgentConfig& config, bool runs_engine)
      : config_(config), runs_engine_(runs_engine), readiness_(SystemClock().Monotonic()) {}

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
      Tick();
      std::chrono::milliseconds pause = readiness_.ready() ? kTick : kTickUntilReady;
      if (engine_) pause = std::min(pause, engine_->NextPoll());
      const int signal = WaitForSignal(signals, pause);
      if (signal == SIGTERM || signal == SIGINT) break;
      if (signal == SIGHUP) ReloadLogLevel();
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
    CountCrashes(config_.state_directory);
    PROV_ASSIGN_OR_RETURN(state_, directory_->OpenState([this] { return CheckStateApart(config_.path); }));
    if (NeedsEngine(config_)) {
      PROV_ASSIGN_OR_RETURN(auto status, EngineStatusReader::Open(config_.state_directory, group));
      engine_status_.emplace(std::move(status));
    }
    PROV_ASSIGN_OR_RETURN(reader_, state::StateReader::Open(config_.state_directory));
    return absl::OkStatus();
  }

  absl::Status StartSync(const std::optional<EngineUser>& user) {
    std::optional<drivers::FileOwner> spool;
    if (config_.store.owned_by_account) {
      if (geteuid() != 0)
        return absl::InvalidArgumentError("store.owner = \"account\" needs an agent that runs as root");
    } else {
      if (user) spool = drivers::FileOwner{user->uid, user->gid};
      PROV_RETURN_IF_ERROR(StartMoves(spool));
    }
    if (auto roots = PurgeRoots(config_, spool); !roots.empty()) {
      purge_ = drivers::PurgeWorker::Start(std::move(roots), config_.purge.grace, SystemClock());
    }
    drivers_ = MakeHostDrivers(config_, spool, *state_, *reader_, SystemClock(), [this] {
      if (moves_) moves_->Wake();
    });
    PROV_ASSIGN_OR_RETURN(const std::string instance, InstanceOf(config_.state_directory));
    for (const v1::Role role : config_.roles) {
      sync::RoleSyncOptions options;
      options.instance = instance;
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
      options.session.notice = NoticeOf(config_.state_directory);
      options.on_fatal = [this](const absl::Status& status) { Fail(status); };
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

  // The copy can no longer be written or read. From any thread.
  void Fail(const absl::Status& status) {
    Log(Level::kError, "fatal", {{"error", status}});
    if (absl::IsDataLoss(status)) DistrustState(config_.state_directory);
    fatal_ = true;
    kill(getpid(), SIGTERM);
  }

  // An engine that crashed may have read what is broken; then the next start makes the copy anew.
  void CheckAfterCrash() {
    if (!engine_ || engine_->crashes() == crashes_seen_) return;
    crashes_seen_ = engine_->crashes();
    const auto now = SystemClock().Monotonic();
    if (now < next_check_) return;
    next_check_ = now + kCheckInterval;
    if (const absl::Status status = CheckStateApart(config_.path); absl::IsDataLoss(status)) Fail(status);
  }

  // It runs, and nothing has crashed it for a while.
  void ForgetCrashesOnceSettled() {
    if (settled_ || fatal_ || SystemClock().Monotonic() - started_ < kSettled) return;
    settled_ = true;
    if (const absl::Status status = ForgetCrashes(config_.state_directory); !status.ok()) {
      Log(Level::kWarning, "crashes_not_forgotten", {{"error", status}});
    }
  }

  void Tick() {
    std::vector<RoleHealth> health;
    for (size_t i = 0; i < syncs_.size(); ++i) {
      syncs_[i]->CheckSilence();
      health.push_back(
          {config_.roles[i], syncs_[i]->connected(), syncs_[i]->drifting(), syncs_[i]->applied_items()});
    }
    if (engine_) {
      engine_->Poll();
      UpdateEngineMetrics(engine_->pid() != 0, engine_->starts());
    }
    CheckAfterCrash();
    ForgetCrashesOnceSettled();
    UpdateStateMetrics(BrokenStateTime(config_.state_directory));
    if (engine_status_) {
      engine_status_->Poll(SystemClock().Monotonic());
      if (engine_ && engine_->pid() == 0) engine_status_->Forget();
    }
    if (!readiness_.ready()) GetReady();
    TellServing();
    const CertificateRenewal::Health certificate = renewal_->health();
    UpdateCertificateMetrics(certificate.expires, certificate.failures);
    if (purge_) UpdatePurgeMetrics(purge_->waiting(), purge_->removed());
    UpdateAgentMetrics(*state_, health);
  }

  bool EngineListens() const { return !engine_status_ || engine_status_->sessions().has_value(); }

  void GetReady() {
    std::vector<RoleStanding> roles;
    for (size_t i = 0; i < syncs_.size(); ++i) {
      const v1::Role role = config_.roles[i];
      const auto copy = state_->GetFreshness(role);
      const auto records = state_->CountRecords(role);
      // What cannot be read is no copy; who follows will find the disk's fault.
      roles.push_back({role, syncs_[i]->standing(), copy.value_or(state::Freshness{}), records.value_or(0)});
    }
    const auto now = SystemClock().Monotonic();
    const std::string waits = readiness_.Observe(roles, !engine_ || EngineListens(), now);
    if (readiness_.ready()) {
      Log(Level::kInfo, "ready",
          {{"host", config_.host}, {"roles", config_.roles.size()}, {"version", kVersion}});
      sd_notify(0, "READY=1\nSTATUS=ready");
      return;
    }
    if (waits != told_waiting_) {
      Log(Level::kDebug, "not_ready", {{"waits_for", waits}});
      told_waiting_ = waits;
      sd_notify(0, ("STATUS=" + waits).c_str());
    }
    // An engine that does not come up is another matter: that is to fail.
    if (readiness_.has_roles() || now < extend_at_) return;
    extend_at_ = now + kExtension / 4;
    sd_notify(0,
              fmt::format("EXTEND_TIMEOUT_USEC={}", std::chrono::microseconds(kExtension).count()).c_str());
  }

  // Tells provd, through each role's stream, what is in progress here.
  void TellServing() {
    const auto now = SystemClock().Monotonic();
    const bool ready = readiness_.ready() && EngineListens();
    for (size_t i = 0; i < syncs_.size(); ++i) {
      std::optional<uint64_t> sessions;
      if (engine_status_ && engine_status_->sessions()) {
        const auto count = engine_status_->sessions()->find(config_.roles[i]);
        if (count != engine_status_->sessions()->end()) sessions = count->second;
      }
      Serving& told = told_serving_[config_.roles[i]];
      const bool urgent = ready != told.ready || sessions.value_or(0) == 0 || told.sessions.value_or(0) == 0;
      if (told.sessions == sessions && told.ready == ready) continue;
      if (!urgent && now < told.when + kSessionsInterval) continue;
      told = {sessions, ready, now};
      syncs_[i]->SetServing(sessions, ready);
    }
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

  struct Serving {
    std::optional<uint64_t> sessions;
    bool ready = false;
    std::chrono::steady_clock::time_point when;
  };

  const AgentConfig config_;
  const bool runs_engine_;
  Readiness readiness_;
  std::string told_waiting_;
  std::chrono::steady_clock::time_point extend_at_;
  std::map<v1::Role, Serving> told_serving_;
  std::atomic<bool> fatal_{false};
  const std::chrono::steady_clock::time_point started_ = SystemClock().Monotonic();
  bool settled_ = false;
  uint64_t crashes_seen_ = 0;
  std::chrono::steady_clock::time_point next_check_;
  std::optional<StateDirectory> directory_;
  std::unique_ptr<state::StateWriter> state_;
  std::unique_ptr<state::StateReader> reader_;
  std::optional<EngineStatusReader> engine_status_;  // none: no role has an engine
  std::unique_ptr<moves::TransferServer> transfer_;
  std::unique_ptr<moves::MoveWorker> moves_;
  std::unique_ptr<drivers::PurgeWorker> purge_;
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
  Log(Level::kInfo, "started", {{"host", config.host}, {"version", kVersion}});
  const absl::Status status = agent.Run(signals);
  sd_notify(0, "STOPPING=1");
  Log(Level::kInfo, "stopping");
  return status.ok() ? 0 : kExitFailure;
}

int RunCheckState(const AgentConfig& config) {
  // Pages that lead back to each other have no end.
  const rlimit limit = {.rlim_cur = kCheckCpuSeconds, .rlim_max = kCheckCpuSeconds};
  setrlimit(RLIMIT_CPU, &limit);
  const absl::Status status = state::CheckIntegrity(config.state_directory);
  if (status.ok()) return 0;
  return Complain(status, absl::IsDataLoss(status) ? kExitBroken : kExitFailure);
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
  if (*enrol) return RunEnrol(*config, enrolment);
  return RunAgent(*config, !no_engine);
}

}  // namespace
}  // namespace prov

int main(int argc, char** argv) { return prov::Main(argc, argv); }
