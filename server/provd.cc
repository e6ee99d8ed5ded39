// provd: the API, the truth behind it, the directory's publisher and the agents' feed. Wires the rooms
// together; nothing else does.
#include <fmt/format.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <signal.h>
#include <systemd/sd-daemon.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/file.h"
#include "common/grpc_tls.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/status.h"
#include "common/version.h"
#include "prov/v1/directory.grpc.pb.h"
#include "server/api/agent_sync_service.h"
#include "server/api/approvals_service.h"
#include "server/api/audit_service.h"
#include "server/api/call_metrics.h"
#include "server/api/directory_service.h"
#include "server/api/domains_service.h"
#include "server/api/due_work.h"
#include "server/api/enrolment_door.h"
#include "server/api/enrolment_service.h"
#include "server/api/explainer.h"
#include "server/api/fleet_service.h"
#include "server/api/host_dialling.h"
#include "server/api/mail_queues_service.h"
#include "server/api/mailbox_moves_service.h"
#include "server/api/mailing_lists_service.h"
#include "server/api/operations_service.h"
#include "server/api/password_door.h"
#include "server/api/rate_limit.h"
#include "server/api/subscribers_service.h"
#include "server/api/workers.h"
#include "server/config.h"
#include "server/directory/publisher.h"
#include "server/enrol/authority.h"
#include "server/enrol/ca_command.h"
#include "server/feed/convergence.h"
#include "server/feed/feed.h"
#include "server/feed/fleet_metrics.h"
#include "server/migrate_command.h"
#include "server/model/password.h"
#include "server/provd_identity.h"
#include "server/store/migrations.h"
#include "server/store/publisher_turn_postgres.h"
#include "server/store/read_snapshot_postgres.h"
#include "server/store/revision_watch_postgres.h"
#include "server/store/trust_postgres.h"

namespace prov {
namespace {

constexpr size_t kWorkerThreads = 8;
constexpr int kMaxRequestOctets = 4 << 20;
constexpr int kKeepaliveMilliseconds = 20'000;
constexpr int kKeepaliveTimeoutMilliseconds = 10'000;
constexpr size_t kMaxSecretOctets = 4096;
constexpr std::chrono::seconds kDrainPatience(10);
constexpr std::chrono::hours kAuditHeadInterval(1);

// First line of a file, for passwords.
absl::StatusOr<std::string> ReadSecret(const std::string& path) {
  PROV_ASSIGN_OR_RETURN(std::string secret, ReadFile(path, kMaxSecretOctets));
  secret.erase(std::min(secret.find('\n'), secret.size()));
  if (secret.empty()) return absl::InvalidArgumentError(fmt::format("{} is empty", path));
  return secret;
}

absl::StatusOr<directory::Publisher::Options> PublisherOptions(const ProvdConfig::Directory& config) {
  directory::Publisher::Options options;
  options.uri = config.uri;
  options.base = config.base;
  options.bind_dn = config.bind_dn;
  PROV_ASSIGN_OR_RETURN(options.password, ReadSecret(config.password_file));
  options.ca = config.ca;
  options.starttls = config.starttls;
  options.services = config.services;
  options.home_prefix = config.home_prefix;
  options.most_removals = config.most_removals;
  return options;
}

// A missing cracklib dictionary would refuse every password; better said once, at start.
absl::Status CheckPasswordChecker() {
  const std::string strong = "vioBn4Aw-plinth-Rook";
  return Annotate(
      model::CheckPassword("password", strong, "", model::kLeastPasswordCharacters),
      "the password checker refuses a strong password; is the package cracklib-runtime installed?");
}

// Everything that lives as long as the server, in order of dependence.
class Provd {
 public:
  Provd(const ProvdConfig& config, store::RequestFingerprint fingerprint,
        directory::Publisher::Options publishing, std::optional<enrol::Authority> authority)
      : authority_(std::move(authority)),
        pool_(config.postgres.connection, config.postgres.connections),
        fingerprint_(std::move(fingerprint)),
        writes_(pool_),
        snapshots_(pool_),
        watch_(config.postgres.connection),
        trust_(config.postgres.connection),
        subscribers_(pool_),
        schedule_(pool_),
        change_log_(pool_),
        domains_(pool_),
        lists_(pool_),
        fleet_(pool_),
        audit_(pool_),
        certificates_(pool_),
        approvals_(pool_),
        progress_(pool_, writes_),
        claims_(pool_),
        moves_(pool_),
        limiter_(RatesOf(config.limits), SystemClock()),
        authoriser_([this](const api::Caller& caller, std::string_view method,
                           const absl::Status& status) { RecordRefused(caller, method, status); },
                    {.trust = &trust_, .limiter = &limiter_}),
        stream_authoriser_(
            [this](const api::Caller& caller, std::string_view method, const absl::Status& status) {
              workers_.Post([this, caller, method = std::string(method), status] {
                RecordRefused(caller, method, status);
              });
            },
            {.trust = &trust_, .limiter = &limiter_}),
        calls_(writes_, fingerprint_, authoriser_),
        importer_({.writes = &calls_,
                   .snapshots = &snapshots_,
                   .mapping = {.base = publishing.base,
                               .services = publishing.services,
                               .home_prefix = publishing.home_prefix},
                   .lifecycle = Lifecycle(config)}),
        subscribers_service_(calls_, subscribers_, schedule_, importer_, SubscriberOptions(config)),
        domains_service_(calls_, domains_),
        lists_service_(calls_, lists_),
        fleet_service_(calls_, fleet_, progress_, moves_, [this] { RefreshTrust(); }),
        mailbox_moves_service_(calls_, moves_),
        dialling_(fleet_, {config.tls.ca, config.tls.certificate, config.tls.key}),
        mail_queues_service_(authoriser_, dialling_, audit_),
        audit_service_(authoriser_, audit_),
        enrolment_service_(calls_, certificates_, EnrolmentOf(config)),
        approvals_service_(calls_, approvals_),
        feed_(snapshots_),
        convergence_(SystemClock()),
        fleet_watch_(feed_, convergence_, progress_),
        turn_(store::MakePostgresPublisherTurn(config.postgres.connection)),
        publisher_(snapshots_, watch_, *turn_, WithApproval(publishing)),
        directory_service_({.authoriser = &authoriser_,
                            .snapshots = &snapshots_,
                            .audit = &audit_,
                            .publisher = &publisher_,
                            .options = publishing}),
        workers_(kWorkerThreads),
        explainer_({.subscribers = &subscribers_,
                    .domains = &domains_,
                    .progress = &progress_,
                    .snapshots = &snapshots_,
                    .convergence = &convergence_,
                    .fleet = &fleet_watch_,
                    .publisher = &publisher_,
                    .options = publishing,
                    .clock = &SystemClock()}),
        operations_({.convergence = &convergence_,
                     .fleet = &fleet_watch_,
                     .snapshots = &snapshots_,
                     .watch = &watch_,
                     .workers = &workers_,
                     .authoriser = &stream_authoriser_,
                     .clock = &SystemClock(),
                     .explainer = &explainer_,
                     .version = kVersion}),
        agent_sync_({.feed = &feed_,
                     .convergence = &convergence_,
                     .fleet = &fleet_watch_,
                     .watch = &watch_,
                     .progress = &progress_,
                     .claims = &claims_,
                     .workers = &workers_,
                     .authoriser = &stream_authoriser_,
                     .clock = &SystemClock()}) {}

  absl::Status Start(const ProvdConfig& config) {
    // Nobody is let in before it is known whose certificates are revoked.
    PROV_RETURN_IF_ERROR(trust_.Refresh());
    trust_.Start();
    PROV_RETURN_IF_ERROR(CheckTls(config.tls));
    publisher_.Subscribe([this](const directory::Publisher::Status& status) {
      convergence_.ReportDirectory(status.connected, status.applied_revision, status.failing_items,
                                   status.failing.empty() ? status.cause : status.failing.front().error);
    });
    PROV_RETURN_IF_ERROR(publisher_.Start());
    PROV_ASSIGN_OR_RETURN(const auto credentials,
                          ServerTls({config.tls.ca, config.tls.certificate, config.tls.key}));
    // Before reflection and health service are switched on, for all servers built from then on.
    if (authority_) {
      enrolment_door_.emplace(writes_, EnrolmentOf(config),
                              [this](const api::Caller& caller, std::string_view method,
                                     const absl::Status& status) { RecordRefused(caller, method, status); });
      PROV_RETURN_IF_ERROR(enrolment_door_->Start(config.enrolment.listen,
                                                  {config.tls.ca, config.tls.certificate, config.tls.key}));
    }
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    builder.AddListeningPort(config.listen, credentials);
    builder.SetMaxReceiveMessageSize(kMaxRequestOctets);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
    // Another provd on the same port would take half of the connections.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    for (grpc::Service* service : std::initializer_list<grpc::Service*>{
             &subscribers_service_, &domains_service_, &fleet_service_, &audit_service_, &lists_service_,
             &mailbox_moves_service_, &mail_queues_service_, &approvals_service_, &directory_service_,
             &enrolment_service_, operations_.service(), agent_sync_.service()}) {
      builder.RegisterService(service);
    }
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
    interceptors.push_back(api::MakeCallMetrics());
    builder.experimental().SetInterceptorCreators(std::move(interceptors));
    server_ = builder.BuildAndStart();
    if (!server_) return absl::UnavailableError(fmt::format("cannot listen on {}", config.listen));
    workers_.Post([this] { NoteAuditHead(); });
    due_work_ = std::make_unique<api::DueWork>(api::DueWork::Parts{.writes = &writes_,
                                                                   .schedule = &schedule_,
                                                                   .subscribers = &subscribers_,
                                                                   .lists = &lists_,
                                                                   .changes = &change_log_,
                                                                   .lifecycle = Lifecycle(config),
                                                                   .keep_changes = config.keep_changes});
    return OpenPasswordDoor(config);
  }

  // Must no longer be asked once this provd goes.
  const feed::Convergence& convergence() const { return convergence_; }

  // Not on a gRPC thread: streams end first, calls in progress finish, then the parts behind them stop.
  void Stop() {
    server_->GetHealthCheckService()->SetServingStatus(false);
    if (enrolment_door_) enrolment_door_->Stop();
    operations_.ShutDown();
    agent_sync_.ShutDown();
    server_->Shutdown(std::chrono::system_clock::now() + kDrainPatience);
    due_work_->Stop();
    if (password_door_) password_door_->Stop();
    workers_.Stop();
    publisher_.Stop();
    watch_.Stop();
    trust_.Stop();
  }

  void SetLimits(const ProvdConfig::Limits& limits) { limiter_.SetRates(RatesOf(limits)); }

 private:
  api::EnrolmentOptions EnrolmentOf(const ProvdConfig& config) {
    using std::chrono::duration_cast;
    using std::chrono::seconds;
    return {.authority = authority_ ? &*authority_ : nullptr,
            .host_lifetime = duration_cast<seconds>(config.enrolment.host_lifetime),
            .caller_lifetime = duration_cast<seconds>(config.enrolment.caller_lifetime),
            .port = PortOf(config.enrolment.listen),
            .trust_changed = [this] { RefreshTrust(); }};
  }

  absl::Status OpenPasswordDoor(const ProvdConfig& config) {
    if (config.directory.password_socket.empty()) return absl::OkStatus();
    password_door_.emplace(
        api::PasswordDoor::Parts{.writes = &writes_,
                                 .subscribers = &subscribers_,
                                 .workers = &workers_,
                                 .base = config.directory.base,
                                 .least_password_characters = config.least_password_characters});
    return password_door_->Start(config.directory.password_socket);
  }

  // Failing is not fatal: the watch tries again by itself.
  void RefreshTrust() {
    const absl::Status status = trust_.Refresh();
    if (!status.ok()) Log(Level::kWarning, "revocations_not_read", {{"error", status}});
  }

  directory::Publisher::Options WithApproval(directory::Publisher::Options options) {
    options.approved_removals = [this] {
      const absl::StatusOr<uint64_t> approved = approvals_.Approved("directory");
      return approved.ok() ? *approved : 0;
    };
    return options;
  }

  static api::LifecycleOptions Lifecycle(const ProvdConfig& config) {
    api::LifecycleOptions options;
    options.undelete = std::chrono::duration_cast<std::chrono::seconds>(config.undelete);
    options.harm = config.harm;
    return options;
  }

  static api::SubscribersService::Options SubscriberOptions(const ProvdConfig& config) {
    api::SubscribersService::Options options;
    options.lifecycle = Lifecycle(config);
    options.least_password_characters = config.least_password_characters;
    return options;
  }

  // Where logs go to another machine, the chain's head is noted there.
  void NoteAuditHead() {
    if (const auto head = audit_.Head(); head.ok()) {
      Log(Level::kInfo, "audit_head", {{"id", head->id}, {"hash", store::HexOf(head->hash)}});
    } else {
      Log(Level::kWarning, "audit_head_not_read", {{"error", head.status()}});
    }
    workers_.PostAfter(kAuditHeadInterval, [this] { NoteAuditHead(); });
  }

  void RecordRefused(const api::Caller& caller, std::string_view method, const absl::Status& status) {
    Log(Level::kWarning, "call_refused",
        {{"caller", caller.ToString()}, {"peer", caller.peer}, {"method", method}, {"error", status}});
    store::AuditRecord record;
    record.caller = caller.ToString();
    record.peer = caller.peer;
    record.method = std::string(method);
    record.code = static_cast<int>(status.code());
    if (const absl::Status written = audit_.Record(record); !written.ok()) {
      Log(Level::kError, "audit_failed", {{"error", written}});
    }
  }

  const std::optional<enrol::Authority> authority_;
  store::ConnectionPool pool_;
  const store::RequestFingerprint fingerprint_;
  store::WriteQueue writes_;
  store::PostgresSnapshotSource snapshots_;
  store::PostgresRevisionWatch watch_;
  store::PostgresTrust trust_;
  store::SubscriberRepository subscribers_;
  store::ScheduleRepository schedule_;
  store::ChangeLog change_log_;
  store::DomainRepository domains_;
  store::MailingListRepository lists_;
  store::FleetRepository fleet_;
  store::AuditRepository audit_;
  store::CertificateRepository certificates_;
  store::ApprovalRepository approvals_;
  store::HostProgressRepository progress_;
  store::AgentClaims claims_;
  store::MailboxMoveRepository moves_;

  api::RateLimiter limiter_;
  const api::Authoriser authoriser_;
  const api::Authoriser stream_authoriser_;  // for gRPC's callback threads: records on a worker
  const api::WriteCalls calls_;
  api::SubscriberImporter importer_;
  api::SubscribersService subscribers_service_;
  api::DomainsService domains_service_;
  api::MailingListsService lists_service_;
  api::FleetService fleet_service_;
  api::MailboxMovesService mailbox_moves_service_;
  const api::HostDialling dialling_;
  api::MailQueuesService mail_queues_service_;
  api::AuditService audit_service_;
  api::EnrolmentService enrolment_service_;
  std::optional<api::EnrolmentDoor> enrolment_door_;
  api::ApprovalsService approvals_service_;

  feed::Feed feed_;
  feed::Convergence convergence_;
  const feed::FleetWatch fleet_watch_;
  const std::unique_ptr<store::PublisherTurn> turn_;
  directory::Publisher publisher_;
  api::DirectoryService directory_service_;
  api::Workers workers_;
  const api::Explainer explainer_;
  api::OperationsService operations_;
  api::AgentSyncService agent_sync_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<api::DueWork> due_work_;
  std::optional<api::PasswordDoor> password_door_;
};

// A role that owns its tables may do all with them, and so may whoever takes provd over.
absl::Status CheckAuditRights(const std::string& conninfo) {
  PROV_ASSIGN_OR_RETURN(const bool may_change, store::MayChangeAudit(conninfo));
  if (may_change) {
    Log(Level::kWarning, "audit_not_protected",
        {{"mend",
          "provd's database role may change the audit log; give it one of its own with provd migrate, "
          "see provd(8)"}});
  }
  return absl::OkStatus();
}

// What can change while provd runs: log level and limits. TLS files are watched; here they are checked.
absl::Status Reload(const std::string& config_path, Provd& provd) {
  PROV_ASSIGN_OR_RETURN(const ProvdConfig config, LoadProvdConfig(config_path));
  PROV_RETURN_IF_ERROR(SetLogLevel(config.log_level));
  provd.SetLimits(config.limits);
  PROV_RETURN_IF_ERROR(CheckTls(config.tls));
  Log(Level::kInfo, "reloaded", {{"log_level", config.log_level}});
  return absl::OkStatus();
}

// Until a signal says stop; which one.
int RunUntilStopped(const sigset_t& signals, const std::string& config_path, Provd& provd) {
  for (;;) {
    int received = 0;
    sigwait(&signals, &received);
    if (received != SIGHUP) return received;
    sd_notify(0, "RELOADING=1");
    const absl::Status status = Reload(config_path, provd);
    if (!status.ok()) Log(Level::kError, "reload_failed", {{"error", status}});
    sd_notify(0, "READY=1");
  }
}

absl::Status Serve(const std::string& config_path) {
  PROV_ASSIGN_OR_RETURN(const ProvdConfig config, LoadProvdConfig(config_path));
  PROV_RETURN_IF_ERROR(InitLog("provd", config.log_level));
  PROV_RETURN_IF_ERROR(CheckPasswordChecker());

  // Before any thread, so that all inherit it.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  PROV_RETURN_IF_ERROR(store::Migrate(config.postgres.connection));
  PROV_RETURN_IF_ERROR(CheckAuditRights(config.postgres.connection));
  store::ConnectionPool bootstrap(config.postgres.connection, 1);
  PROV_ASSIGN_OR_RETURN(store::RequestFingerprint fingerprint, store::RequestFingerprint::Load(bootstrap));
  PROV_ASSIGN_OR_RETURN(directory::Publisher::Options publishing, PublisherOptions(config.directory));
  std::unique_ptr<MetricsServer> metrics;
  if (!config.metrics.empty()) {
    PROV_ASSIGN_OR_RETURN(metrics, MetricsServer::Start(config.metrics));
  }

  PROV_ASSIGN_OR_RETURN(std::optional<enrol::Authority> authority, LoadAuthority(config.enrolment));
  Provd provd(config, std::move(fingerprint), std::move(publishing), std::move(authority));
  PROV_RETURN_IF_ERROR(provd.Start(config));
  const auto fleet_metrics = std::make_shared<feed::FleetMetrics>(provd.convergence());
  if (metrics != nullptr) metrics->Add(fleet_metrics);
  Log(Level::kInfo, "ready", {{"listen", config.listen}, {"version", kVersion}});
  sd_notify(0, "READY=1");

  const int received = RunUntilStopped(signals, config_path, provd);
  Log(Level::kInfo, "stopping", {{"signal", received}});
  sd_notify(0, "STOPPING=1");
  metrics.reset();  // it asks provd's parts
  provd.Stop();
  Log(Level::kInfo, "stopped");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "ca") == 0) return enrol::RunCaCommand(argc, argv);
  if (argc > 1 && std::strcmp(argv[1], "migrate") == 0) return RunMigrateCommand(argc, argv);
  CLI::App app(
      "provd: provisioning and directory control plane.\n\nprovd ca --help tells of certificates, "
      "provd migrate --help of the database's owner.");
  std::string config = "/etc/prov/provd.toml";
  app.add_option("--config", config, "configuration, TOML; see provd.toml(5)")->capture_default_str();
  app.set_version_flag("--version", std::string("provd ") + kVersion);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Serve(config);
  if (status.ok()) return 0;
  fmt::print(stderr, "provd: {}\n", MessageOf(status));
  return 1;
}

}  // namespace
}  // namespace prov

int main(int argc, char** argv) { return prov::Main(argc, argv); }
