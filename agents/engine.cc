// prov-engine: SMTP, LMTP, POP3 and its proxy, as the host's roles ask for. Unprivileged; supervised by
// prov-agent, or by systemd beside it. Man page: docs/man/prov-engine.8.
#include <fmt/format.h>
#include <signal.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agents/config.h"
#include "agents/endpoints.h"
#include "agents/engine_metrics.h"
#include "agents/engine_status.h"
#include "agents/mail/auth/authenticator.h"
#include "agents/mail/auth/failure_delay.h"
#include "agents/mail/control/control_server.h"
#include "agents/mail/maildir/listing_memory.h"
#include "agents/mail/net/address_set.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/net/listener.h"
#include "agents/mail/net/loops.h"
#include "agents/mail/net/tls_server.h"
#include "agents/mail/net/tls_use.h"
#include "agents/mail/net/verified_tls.h"
#include "agents/mail/pop3/mailbox_terms.h"
#include "agents/mail/pop3/pop3_proxy.h"
#include "agents/mail/pop3/pop3_server.h"
#include "agents/mail/queue/trace_log.h"
#include "agents/mail/smtp/mail_server.h"
#include "agents/state/reader.h"
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
constexpr size_t kBlockingThreads = 16;
constexpr size_t kMailboxThreads = 16;  // of POP3, where storage that clones share may hang
constexpr mode_t kQueueMode = 0700;
// The agent makes the host's copy before it starts us; a moment's patience covers a rebuild.
constexpr std::chrono::seconds kStatePatience(60);
constexpr std::chrono::milliseconds kStatePause(100);
// Sessions in progress may end by themselves for so long.
constexpr std::chrono::seconds kDrainPatience(8);  // the supervisor has 10 s
constexpr std::chrono::milliseconds kDrainPoll(50);
constexpr std::chrono::seconds kCertificateLook(10);
constexpr std::chrono::seconds kStatusInterval(1);  // between two looks at what to tell the agent

bool Plays(const AgentConfig& config, v1::Role role) {
  return std::find(config.roles.begin(), config.roles.end(), role) != config.roles.end();
}

// Its directory's, and what operators and metrics call it.
const char* QueueName(v1::Role role) { return role == v1::RELAY ? "relay" : "forward"; }

absl::StatusOr<std::unique_ptr<state::StateReader>> OpenState(const AgentConfig& config) {
  const auto deadline = std::chrono::steady_clock::now() + kStatePatience;
  for (;;) {
    auto reader = state::StateReader::Open(config.state_directory);
    if (reader.ok() || std::chrono::steady_clock::now() > deadline) return reader;
    std::this_thread::sleep_for(kStatePause);
  }
}

// All that serves: sessions on a loop for each core, the rest on the first of them.
class Engine {
 public:
  Engine(const AgentConfig& config, state::StateReader& state)
      : config_(config),
        state_(state),
        status_(config.state_directory),
        pool_(kBlockingThreads),
        mailboxes_(kMailboxThreads),
        delay_(SystemClock()) {}

  absl::Status Start() {
    PROV_RETURN_IF_ERROR(LoadCertificates());
    PROV_ASSIGN_OR_RETURN(balancers_, net::AddressSet::Parse(config_.engine.balancers));
    if (Plays(config_, v1::RELAY) || Plays(config_, v1::STORE)) OpenTrace();
    if (Plays(config_, v1::RELAY)) PROV_RETURN_IF_ERROR(StartMail(v1::RELAY, smtp::StartRelay));
    if (Plays(config_, v1::STORE)) {
      PROV_RETURN_IF_ERROR(StartMail(v1::STORE, smtp::StartStore));
      PROV_RETURN_IF_ERROR(StartPop3());
    }
    if (Plays(config_, v1::POP_PROXY)) PROV_RETURN_IF_ERROR(StartProxy());
    if (tls_ || back_ends_tls_) WatchCertificates();
    StartControl();
    return absl::OkStatus();
  }

  // Until SIGTERM or SIGINT; then sessions that idle end, and others get a while.
  void Run() {
    asio::signal_set signals(first_, SIGTERM, SIGINT);
    signals.async_wait([this](std::error_code error, int number) {
      if (!error) Stop(number);
    });
    TellAgent();
    loops_.Run();
    pool_.Join();
    mailboxes_.Join();
  }

 private:
  absl::Status StartMail(v1::Role role, decltype(smtp::StartRelay)& start) {
    PROV_ASSIGN_OR_RETURN(
        auto server, start(loops_.loops(), config_, state_, pool_, SystemClock(), tls_.get(), trace_.get()));
    if (server) mail_.push_back({role, std::move(server)});
    return absl::OkStatus();
  }

  // What became of mail is remembered for whoever asks, and mail flows where it cannot be.
  void OpenTrace() {
    const auto& [directory, keep] =
        std::pair(config_.engine.queue.directory, config_.engine.queue.trace_keep);
    absl::Status made = EnsureDirectory(directory, kQueueMode);
    if (made.ok()) {
      auto trace = queue::TraceLog::Start(directory + "/trace", keep, SystemClock());
      made = trace.status();
      if (trace.ok()) trace_ = *std::move(trace);
    }
    if (!made.ok()) Log(Level::kError, "trace_not_opened", {{"error", made}});
  }

  // Likewise: an engine that cannot be asked serves all the same.
  void StartControl() {
    if (mail_.empty() || !trace_) return;
    std::vector<control::ControlledQueue> queues;
    for (const auto& [role, server] : mail_) queues.push_back({QueueName(role), &server->runner()});
    const std::string path = config_.engine.queue.directory + "/" + control::kSocketName;
    auto control =
        control::ControlServer::Start(loops_.loops().first(), path, std::move(queues), *trace_, pool_);
    if (control.ok()) {
      control_ = *std::move(control);
    } else {
      Log(Level::kError, "control_not_started", {{"error", control.status()}});
    }
  }

  absl::Status StartPop3() {
    const auto places = Places(config_.engine.pop3.listen, config_.engine.pop3.tls_listen);
    if (places.empty()) return absl::OkStatus();
    const AgentConfig::Engine::Pop3& pop3 = config_.engine.pop3;
    PROV_ASSIGN_OR_RETURN(const auto xclient, net::AddressSet::Parse(pop3.xclient_networks));
    authenticator_ = auth::Authenticator::Start(config_.engine.pam, auth::MailboxLogins(state_));
    for (const auto& [address, tls] : places) {
      pop3::Pop3ServerOptions options{.address = address,
                                      .hostname = config_.engine.hostname,
                                      .maildir_root = config_.store.maildir_root,
                                      .times = {},
                                      .tls = tls,
                                      .balancers = balancers_,
                                      .terms = pop3::PlanTerms(pop3),
                                      .xclient = xclient};
      PROV_ASSIGN_OR_RETURN(auto listener, pop3::StartPop3Server(loops_.loops(), std::move(options),
                                                                 *authenticator_, listings_, mailboxes_));
      listeners_.push_back({v1::STORE, std::move(listener)});
    }
    return absl::OkStatus();
  }

  absl::Status StartProxy() {
    const AgentConfig::Engine::Pop3Proxy& proxy = config_.engine.pop3_proxy;
    const pop3::BackEndTls use = proxy.back_end_tls == "none"     ? pop3::BackEndTls::kNone
                                 : proxy.back_end_tls == "always" ? pop3::BackEndTls::kAlways
                                                                  : pop3::BackEndTls::kStls;
    const bool listens = !proxy.listen.empty() || !proxy.tls_listen.empty();
    if (listens && use != pop3::BackEndTls::kNone) {
      PROV_ASSIGN_OR_RETURN(back_ends_tls_, net::VerifiedTls::Make(proxy.back_end_ca));
    }
    for (const auto& [address, tls] :
         Places(config_.engine.pop3_proxy.listen, config_.engine.pop3_proxy.tls_listen)) {
      pop3::Pop3ProxyOptions options{address,    config_.host, config_.engine.hostname, {}, tls,
                                     balancers_, use,          back_ends_tls_.get()};
      PROV_ASSIGN_OR_RETURN(auto listener,
                            pop3::StartPop3Proxy(loops_.loops(), std::move(options), state_, delay_));
      listeners_.push_back({v1::POP_PROXY, std::move(listener)});
    }
    return absl::OkStatus();
  }

  // Where to listen, and with which TLS.
  std::vector<std::pair<std::string, net::SessionTls>> Places(
      const std::vector<std::string>& listen, const std::vector<std::string>& tls_listen) const {
    std::vector<std::pair<std::string, net::SessionTls>> places;
    const net::TlsUse on_demand = tls_ ? net::TlsUse::kOnDemand : net::TlsUse::kNone;
    for (const std::string& address : listen) places.push_back({address, {on_demand, tls_.get()}});
    for (const std::string& address : tls_listen)
      places.push_back({address, {net::TlsUse::kAlways, tls_.get()}});
    return places;
  }

  absl::Status LoadCertificates() {
    const auto& [certificates, keys] = config_.engine.tls;
    if (certificates.empty()) return absl::OkStatus();
    std::vector<net::CertificateFiles> files;
    for (size_t i = 0; i < certificates.size(); ++i)
      files.push_back({certificates[i], keys.empty() ? certificates[i] : keys[i]});
    PROV_ASSIGN_OR_RETURN(tls_, net::TlsServer::Load(std::move(files)));
    return absl::OkStatus();
  }

  // They are renewed every few months by somebody who does not tell us.
  void WatchCertificates() {
    certificate_timer_.expires_after(kCertificateLook);
    certificate_timer_.async_wait([this](std::error_code error) {
      if (error) return;
      if (tls_) LogRefresh(tls_->Refresh());
      if (back_ends_tls_) LogRefresh(back_ends_tls_->Refresh());
      WatchCertificates();
    });
  }

  static void LogRefresh(const absl::StatusOr<bool>& changed) {
    if (!changed.ok()) Log(Level::kError, "certificates_unreadable", {{"error", changed.status()}});
    if (changed.ok() && *changed) Log(Level::kInfo, "certificates_read_anew");
  }

  void Stop(int signal) {
    Log(Level::kInfo, "stopping", {{"signal", signal}});
    sd_notify(0, "STOPPING=1");
    for (const auto& [role, listener] : listeners_) listener->Stop();
    for (const auto& [role, server] : mail_) server->Stop();
    if (control_) control_->Stop();
    drain_ends_ = std::chrono::steady_clock::now() + kDrainPatience;
    Drain();
  }

  SessionCounts Sessions() const {
    SessionCounts sessions;
    for (const auto& [role, listener] : listeners_) sessions[role] += listener->sessions();
    for (const auto& [role, server] : mail_) sessions[role] += server->busy();
    return sessions;
  }

  void TellAgent() {
    const SessionCounts sessions = Sessions();
    status_.Tell(sessions, std::chrono::steady_clock::now());
    UpdateSessionMetrics(sessions);
    for (const auto& [role, server] : mail_) UpdateQueueMetrics(QueueName(role), server->runner().messages());
    if (trace_) UpdateTraceMetrics(trace_->lost());
    status_timer_.expires_after(kStatusInterval);
    status_timer_.async_wait([this](std::error_code error) {
      if (!error) TellAgent();
    });
  }

  void Drain() {
    const SessionCounts sessions = Sessions();
    const bool idle =
        std::all_of(sessions.begin(), sessions.end(), [](const auto& one) { return one.second == 0; });
    if (idle || std::chrono::steady_clock::now() > drain_ends_) {
      for (const auto& [role, listener] : listeners_) listener->CloseAll();
      for (const auto& [role, server] : mail_) server->CloseAll();
      loops_.Stop();
      return;
    }
    drain_timer_.expires_after(kDrainPoll);
    drain_timer_.async_wait([this](std::error_code error) {
      if (!error) Drain();
    });
  }

  const AgentConfig& config_;
  state::StateReader& state_;
  EngineStatusWriter status_;
  net::LoopThreads loops_{std::max(1u, std::thread::hardware_concurrency())};
  const asio::any_io_executor first_ = loops_.loops().first();
  maildir::ListingMemory listings_;
  net::BlockingPool pool_, mailboxes_;
  auth::FailureDelay delay_;
  std::unique_ptr<net::TlsServer> tls_;
  std::unique_ptr<net::VerifiedTls> back_ends_tls_;  // of the proxy; null: they are not asked who they are
  std::unique_ptr<queue::TraceLog> trace_;           // null: it could not be opened
  net::AddressSet balancers_;
  asio::steady_timer certificate_timer_{first_};
  std::unique_ptr<auth::Authenticator> authenticator_;
  std::vector<std::pair<v1::Role, std::unique_ptr<net::Listener>>> listeners_;
  std::vector<std::pair<v1::Role, std::unique_ptr<smtp::MailServer>>> mail_;
  std::unique_ptr<control::ControlServer> control_;
  asio::steady_timer drain_timer_{first_}, status_timer_{first_};
  std::chrono::steady_clock::time_point drain_ends_;
};

absl::Status Serve(const AgentConfig& config) {
  signal(SIGPIPE, SIG_IGN);
  PROV_ASSIGN_OR_RETURN(const auto state, OpenState(config));
  std::unique_ptr<MetricsServer> metrics;
  if (!config.engine.metrics.empty()) {
    PROV_ASSIGN_OR_RETURN(metrics, MetricsServer::Start(config.engine.metrics));
  }
  Engine engine(config, *state);
  PROV_RETURN_IF_ERROR(engine.Start());
  Log(Level::kInfo, "ready", {{"version", kVersion}});
  sd_notify(0, "READY=1");
  engine.Run();
  Log(Level::kInfo, "stopped");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("prov-engine: the mail engine of a host; prov-agent or systemd starts it.");
  std::string path = "/etc/prov/agent.toml";
  bool check = false;
  app.add_option("--config", path, "configuration, TOML; see agent.toml(5)")->capture_default_str();
  app.add_flag("--check", check, "read the configuration, say whether it is good, and end");
  app.set_version_flag("--version", std::string("prov-engine ") + kVersion);
  CLI11_PARSE(app, argc, argv);
  const absl::StatusOr<AgentConfig> config = LoadAgentConfig(path);
  const absl::Status good = config.ok() ? CheckAddresses(*config) : config.status();
  if (!good.ok()) {
    fmt::print(stderr, "prov-engine: {}\n", MessageOf(good));
    return kExitConfiguration;
  }
  if (check) return 0;
  if (geteuid() == 0) {
    fmt::print(stderr,
               "prov-engine: refuses to run as root; let prov-agent or prov-engine.service start it\n");
    return kExitConfiguration;
  }
  absl::Status status = InitLog("prov-engine", config->log_level);
  if (status.ok() && !NeedsEngine(*config)) {
    // Its unit is started on every host of ours; to end is right where no role listens, and no failure.
    Log(Level::kInfo, "nothing_to_serve", {{"config", config->path}});
    sd_notify(0, "READY=1\nSTOPPING=1");
    return 0;
  }
  if (status.ok()) status = Serve(*config);
  if (status.ok()) return 0;
  Log(Level::kError, "failed", {{"error", status}});
  return kExitFailure;
}

}  // namespace
}  // namespace prov

int main(int argc, char** argv) { return prov::Main(argc, argv); }
