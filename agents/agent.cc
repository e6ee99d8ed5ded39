#include "agents/agent.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "agents/agent_metrics.h"
#include "agents/certificate_files.h"
#include "agents/config.h"
#include "agents/control/control_service.h"
#include "agents/crash_count.h"
#include "agents/drivers/purge_worker.h"
#include "agents/endpoints.h"
#include "agents/engine_status.h"
#include "agents/engine_supervisor.h"
#include "agents/exit_status.h"
#include "agents/host_drivers.h"
#include "agents/moves/move_worker.h"
#include "agents/moves/transfer_service.h"
#include "agents/readiness.h"
#include "agents/renewal.h"
#include "agents/service_notice.h"
#include "agents/serving_notice.h"
#include "agents/state/reader.h"
#include "agents/state_check.h"
#include "agents/state_directory.h"
#include "agents/state_watch.h"
#include "agents/sync/role_sync.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/grpc_port.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/status.h"
#include "common/version.h"

namespace prov {
namespace {

// An agent that was told to stop may still be finishing when the next one starts.
constexpr std::chrono::seconds kClaimPatience{15};
constexpr std::chrono::milliseconds kTick{1000};
constexpr std::chrono::minutes kSettled{1};
constexpr std::chrono::milliseconds kTickUntilReady{50};

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
      : config_(config),
        runs_engine_(runs_engine),
        readiness_(SystemClock().Monotonic()),
        watch_([this] { return CheckStateApart(config_.path); }, SystemClock()) {}

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
    PROV_RETURN_IF_ERROR(StartControl(user));
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
    service_.TellStopping();
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

  // For provd, which asks what lies in the queue and what became of mail.
  absl::Status StartControl(const std::optional<EngineUser>& user) {
    if (config_.control_listen.empty()) return absl::OkStatus();
    std::optional<control::EngineChannel> engine;
    if (HasQueue(config_)) {
      engine.emplace(config_.engine.queue.directory + "/control",
                     user ? std::optional<uid_t>(user->uid) : std::nullopt);
    }
    const TlsFiles tls{config_.tls.ca, config_.tls.certificate, config_.tls.key};
    PROV_ASSIGN_OR_RETURN(control_,
                          GrpcPort::Open({.listen = config_.control_listen, .tls = tls, .name = "control"},
                                         std::make_unique<control::ControlService>(std::move(engine))));
    return absl::OkStatus();
  }

  // For mailboxes that move to and from this host's pool.
  absl::Status StartMoves(const std::optional<drivers::FileOwner>& spool) {
    if (std::find(config_.roles.begin(), config_.roles.end(), v1::STORE) == config_.roles.end())
      return absl::OkStatus();
    const TlsFiles tls{config_.tls.ca, config_.tls.certificate, config_.tls.key};
    if (!config_.store.transfer_listen.empty()) {
      PROV_ASSIGN_OR_RETURN(
          transfer_, GrpcPort::Open({.listen = config_.store.transfer_listen, .tls = tls, .name = "transfer"},
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

  // The next start makes a broken copy anew.
  void WatchState() {
    if (engine_) {
      watch_.ObserveCrashes(engine_->crashes());
    } else if (engine_status_) {
      watch_.ObserveSpeaking(engine_status_->sessions().has_value());
    }
    for (const v1::Role role : config_.roles) watch_.ObserveRead(role, state_->GetFreshness(role));
    if (const absl::Status status = watch_.Poll(); !status.ok() && !fatal_) Fail(status);
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
    ForgetCrashesOnceSettled();
    UpdateStateMetrics(BrokenStateTime(config_.state_directory));
    if (engine_status_) {
      engine_status_->Poll(SystemClock().Monotonic());
      if (engine_ && engine_->pid() == 0) engine_status_->Forget();
    }
    WatchState();
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
      service_.TellReady();
    } else {
      // An engine that does not come up is another matter than a copy that is on its way: that is to fail.
      service_.TellWaiting(waits, readiness_.has_roles() ? Patience::kAsSet : Patience::kExtended, now);
    }
  }

  // Tells provd, through each role's stream, what is in progress here.
  void TellServing() {
    const bool ready = readiness_.ready() && EngineListens();
    for (size_t i = 0; i < syncs_.size(); ++i) {
      Serving serving{.ready = ready};
      if (engine_status_ && engine_status_->sessions()) {
        const auto count = engine_status_->sessions()->find(config_.roles[i]);
        if (count != engine_status_->sessions()->end()) serving.sessions = count->second;
      }
      if (serving_.IsWorthTelling(config_.roles[i], serving, SystemClock().Monotonic()))
        syncs_[i]->SetServing(serving.sessions, serving.ready);
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

  const AgentConfig config_;
  const bool runs_engine_;
  Readiness readiness_;
  ServiceNotice service_;
  ServingNotice serving_;
  std::atomic<bool> fatal_{false};
  const std::chrono::steady_clock::time_point started_ = SystemClock().Monotonic();
  bool settled_ = false;
  StateWatch watch_;
  std::optional<StateDirectory> directory_;
  std::unique_ptr<state::StateWriter> state_;
  std::unique_ptr<state::StateReader> reader_;
  std::optional<EngineStatusReader> engine_status_;  // none: no role has an engine
  std::unique_ptr<GrpcPort> control_;
  std::unique_ptr<GrpcPort> transfer_;
  std::unique_ptr<moves::MoveWorker> moves_;
  std::unique_ptr<drivers::PurgeWorker> purge_;
  HostDrivers drivers_;
  std::vector<std::unique_ptr<sync::RoleSync>> syncs_;
  std::unique_ptr<CertificateRenewal> renewal_;
  std::unique_ptr<MetricsServer> metrics_;
  std::unique_ptr<EngineSupervisor> engine_;
};

}  // namespace

int RunAgent(const AgentConfig& config, bool runs_engine) {
  // gRPC would write a line for each connection that names this host as no certificate does; what matters is
  // in our own log.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  const sigset_t signals = WaitedSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  if (const absl::Status status = InitLog("prov-agent", config.log_level); !status.ok()) {
    fmt::print(stderr, "prov-agent: {}\n", MessageOf(status));
    return kExitConfiguration;
  }
  Agent agent(config, runs_engine);
  if (const absl::Status status = agent.Start(); !status.ok()) {
    Log(Level::kError, "start_failed", {{"error", status}});
    return absl::IsInvalidArgument(status) ? kExitConfiguration : kExitFailure;
  }
  Log(Level::kInfo, "started", {{"host", config.host}, {"version", kVersion}});
  const absl::Status status = agent.Run(signals);
  Log(Level::kInfo, "stopping");
  return status.ok() ? 0 : kExitFailure;
}

}  // namespace prov
