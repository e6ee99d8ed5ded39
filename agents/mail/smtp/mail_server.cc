#include "agents/mail/smtp/mail_server.h"

#include <optional>
#include <string>
#include <utility>

#include "agents/mail/auth/authenticator.h"
#include "agents/mail/dns/resolver.h"
#include "agents/mail/net/address_set.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/net/in_turn.h"
#include "agents/mail/net/listener.h"
#include "agents/mail/net/loops.h"
#include "agents/mail/net/tls_client.h"
#include "agents/mail/policy/hello_policy.h"
#include "agents/mail/policy/rate_policy.h"
#include "agents/mail/policy/relay_policy.h"
#include "agents/mail/policy/sender_domain_policy.h"
#include "agents/mail/policy/sender_login_policy.h"
#include "agents/mail/queue/runner.h"
#include "agents/mail/queue/spool.h"
#include "agents/mail/route/next_hop.h"
#include "agents/mail/route/srs.h"
#include "agents/mail/smtp/lmtp_handler.h"
#include "agents/mail/smtp/queue_transport.h"
#include "agents/mail/smtp/relay_handler.h"
#include "agents/mail/smtp/server_session.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::smtp {
namespace {

constexpr mode_t kQueueMode = 0700;
// RFC 5321 section 3.8, RFC 3463 X.3.2: the client tries the next MX.
constexpr char kDrainedReply[] = "421 4.3.2 this host takes no new sessions for now, another one does\r\n";
constexpr char kCutOffReply[] = "421 4.3.2 this host does not reach its mailboxes now, another one may\r\n";
constexpr size_t kMailboxThreads = 16;
constexpr char kBusyReply[] = "421 4.7.0 too many connections, come again\r\n";
// Relay and store add their header to messages that were as large as allowed.
constexpr uint64_t kHeaderAllowanceOctets = 64 * 1024;

SessionOptions SessionFor(Protocol protocol, const AgentConfig::Engine& engine, uint64_t max_message_octets,
                          const net::TlsServer* tls, net::TlsUse use = net::TlsUse::kOnDemand) {
  if (tls == nullptr) use = net::TlsUse::kNone;
  SessionOptions options;
  options.machine = {protocol, engine.hostname, max_message_octets, use};
  options.tls = {use, tls};
  return options;
}

absl::StatusOr<std::optional<route::SenderRewriting>> LoadRewriting(const AgentConfig::Engine::Srs& srs) {
  std::optional<route::SenderRewriting> rewriting;
  if (srs.domain.empty()) return rewriting;
  PROV_ASSIGN_OR_RETURN(rewriting, route::SenderRewriting::Load(srs.domain, srs.secret_file));
  return rewriting;
}

// A spool with the runner that empties it.
struct Queue {
  std::unique_ptr<queue::Spool> spool;
  std::unique_ptr<queue::Transport> transport;
  std::unique_ptr<queue::Runner> runner;
  queue::TraceLog* trace = nullptr;

  // `resolver`: null where no next hop is a domain.
  absl::Status Open(const AgentConfig::Engine& engine, const char* name, const route::NextHops& hops,
                    const asio::any_io_executor& executor, net::BlockingPool& pool, const Clock& clock,
                    dns::Resolver* resolver) {
    PROV_RETURN_IF_ERROR(EnsureDirectory(engine.queue.directory, kQueueMode));
    PROV_ASSIGN_OR_RETURN(spool, queue::Spool::Open(engine.queue.directory + "/" + name));
    PROV_ASSIGN_OR_RETURN(auto tls, net::OpportunisticTls::Make());
    transport = std::make_unique<QueueTransport>(
        executor, TransportOptions{engine.hostname, std::move(tls), resolver}, pool);
    queue::RunnerOptions options;
    options.hostname = engine.hostname;
    options.trace = trace;
    options.retry = {engine.queue.first_retry, engine.queue.longest_retry, engine.queue.give_up};
    options.delay_notice = engine.queue.delay_notice;
    runner =
        std::make_unique<queue::Runner>(executor, *spool, pool, hops, *transport, std::move(options), clock);
    return runner->Start();
  }
};

class ServerBase : public MailServer {
 public:
  // Before Start.
  void UseTrace(queue::TraceLog* trace) { queue_.trace = trace; }

  void Stop() override {
    for (const auto& listener : listeners_) listener->Stop();
    queue_.runner->Stop();
  }
  void CloseAll() override {
    for (const auto& listener : listeners_) listener->CloseAll();
  }
  size_t busy() const override {
    size_t busy = queue_.runner->active();
    for (const auto& listener : listeners_) busy += listener->sessions();
    return busy;
  }
  std::vector<uint16_t> ports() const override {
    std::vector<uint16_t> ports;
    for (const auto& listener : listeners_) ports.push_back(listener->port());
    return ports;
  }
  queue::Runner& runner() override { return *queue_.runner; }

 protected:
  absl::Status Listen(const net::Loops& loops, const std::vector<std::string>& addresses,
                      const net::ListenOptions& common, const net::Listener::Serve& serve) {
    for (const std::string& address : addresses) {
      net::ListenOptions options = common;
      options.address = address;
      options.busy_reply = kBusyReply;
      options.balancers = balancers_;
      PROV_ASSIGN_OR_RETURN(auto listener, net::Listener::Start(loops, std::move(options), serve));
      listeners_.push_back(std::move(listener));
    }
    return absl::OkStatus();
  }

  Queue queue_;
  net::AddressSet balancers_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
};

class RelayServer final : public ServerBase {
 public:
  RelayServer(const AgentConfig::Engine& engine, state::StateReader& state, const Clock& clock,
              std::optional<route::SenderRewriting> rewriting)
      : state_(state),
        rewriting_(std::move(rewriting)),
        router_(state, clock, rewriting_ ? &*rewriting_ : nullptr),
        hops_(router_, engine.smtp.smarthost),
        recipients_(router_, engine.hostname),
        senders_(state, router_),
        rates_({engine.smtp.messages_of_address, engine.smtp.messages_of_network,
                engine.smtp.recipients_of_login},
               clock),
        submission_policies_({&senders_, &recipients_, &rates_}) {}

  absl::Status Start(const net::Loops& loops, const AgentConfig& config, net::BlockingPool& pool,
                     const Clock& clock, const net::TlsServer* tls) {
    const AgentConfig::Engine& engine = config.engine;
    PROV_ASSIGN_OR_RETURN(balancers_, net::AddressSet::Parse(engine.balancers));
    PROV_ASSIGN_OR_RETURN(trusted_, net::AddressSet::Parse(engine.smtp.trusted_networks));
    PROV_ASSIGN_OR_RETURN(resolver_, dns::MakeResolver(loops.first(), engine.smtp.resolvers));
    PROV_RETURN_IF_ERROR(queue_.Open(engine, "relay", hops_, loops.first(), pool, clock, resolver_.get()));
    PROV_ASSIGN_OR_RETURN(xclient_, net::AddressSet::Parse(engine.smtp.xclient_networks));
    SetArrivalPolicies(engine.smtp);
    services_ = {engine.hostname, &*arrival_policies_, queue_.spool.get(), queue_.runner.get(), &pool, &clock,
                 &trusted_};
    services_.trace = queue_.trace;
    listen_.unlimited = [this](const std::string& address) { return trusted_.Contains(address); };
    listen_.takes_new = [this, host = config.host] { return state_.TakesNewSessions(v1::RELAY, host); };
    listen_.elsewhere_reply = kDrainedReply;
    const auto most = static_cast<uint64_t>(engine.smtp.max_message_octets);
    PROV_RETURN_IF_ERROR(ListenForMail(loops, engine.smtp, SessionFor(Protocol::kSmtp, engine, most, tls)));
    if (engine.smtp.submission_listen.empty() && engine.smtp.submissions_listen.empty())
      return absl::OkStatus();
    authenticator_ = auth::Authenticator::Start(engine.pam, auth::SubmissionLogins(state_), clock);
    for (const auto& [addresses, use] : {std::pair{&engine.smtp.submission_listen, net::TlsUse::kOnDemand},
                                         std::pair{&engine.smtp.submissions_listen, net::TlsUse::kAlways}}) {
      PROV_RETURN_IF_ERROR(
          ListenForSubmission(loops, *addresses, SessionFor(Protocol::kSmtp, engine, most, tls, use)));
    }
    return absl::OkStatus();
  }

 private:
  // What may be switched on stands before what is always asked.
  void SetArrivalPolicies(const AgentConfig::Engine::Smtp& smtp) {
    std::vector<policy::Policy*> policies;
    if (smtp.check_hello) policies.push_back(&hello_names_);
    policies.push_back(&rates_);  // who sends too much asks DNS nothing
    if (smtp.check_sender_domain) policies.push_back(&sender_domains_.emplace(*resolver_));
    policies.push_back(&recipients_);
    arrival_policies_.emplace(std::move(policies));
  }

  absl::Status ListenForMail(const net::Loops& loops, const AgentConfig::Engine::Smtp& smtp,
                             const SessionOptions& options) {
    listen_.protocol = "smtp";
    return Listen(loops, smtp.listen, listen_,
                  [this, options, delay = smtp.greeting_delay](std::unique_ptr<net::Connection> connection) {
                    const net::Peer& peer = connection->peer();
                    SessionOptions mine = options;
                    mine.machine.xclient = xclient_.Contains(peer.address);
                    const bool trusted = trusted_.Contains(peer.address);
                    if (!mine.machine.xclient && !trusted) mine.times.greeting_delay = delay;
                    // What a store sends on was as large as allowed when it came to us.
                    if (trusted) mine.machine.max_message_octets += kHeaderAllowanceOctets;
                    auto handler = MakeRelayHandler(services_, peer);
                    return ServeSession(std::move(connection), std::move(mine), std::move(handler));
                  });
  }

  // Whoever has a login may come from anywhere, and nobody else whatever his address.
  absl::Status ListenForSubmission(const net::Loops& loops, const std::vector<std::string>& addresses,
                                   SessionOptions options) {
    listen_.protocol = "submission";
    options.machine.submission = true;
    RelayServices services = services_;
    services.authenticator = authenticator_.get();
    services.policy = &submission_policies_;
    return Listen(loops, addresses, listen_,
                  [services, options](std::unique_ptr<net::Connection> connection) {
                    auto handler = MakeRelayHandler(services, connection->peer());
                    return ServeSession(std::move(connection), options, std::move(handler));
                  });
  }

  state::StateReader& state_;
  const std::optional<route::SenderRewriting> rewriting_;
  const route::Router router_;
  const route::RelayHops hops_;
  policy::RelayPolicy recipients_;
  policy::SenderLoginPolicy senders_;
  policy::RatePolicy rates_;
  policy::Chain submission_policies_;
  std::unique_ptr<dns::Resolver> resolver_;
  policy::HelloPolicy hello_names_;
  std::optional<policy::SenderDomainPolicy> sender_domains_;
  std::optional<policy::Chain> arrival_policies_;  // of mail that comes from other servers
  net::AddressSet trusted_, xclient_;
  std::unique_ptr<auth::Authenticator> authenticator_;  // null: no submission
  net::ListenOptions listen_;                           // for all listeners
  RelayServices services_;
};

class StoreServer final : public ServerBase {
 public:
  StoreServer(const AgentConfig::Engine& engine, std::optional<route::SenderRewriting> rewriting)
      : hops_(engine.lmtp.forward_relay), rewriting_(std::move(rewriting)) {}

  absl::Status Start(const net::Loops& loops, const AgentConfig& config, state::StateReader& state,
                     net::BlockingPool& pool, const Clock& clock, const net::TlsServer* tls) {
    const AgentConfig::Engine& engine = config.engine;
    PROV_ASSIGN_OR_RETURN(balancers_, net::AddressSet::Parse(engine.balancers));
    PROV_RETURN_IF_ERROR(queue_.Open(engine, "forward", hops_, loops.first(), pool, clock, nullptr));
    services_.hostname = engine.hostname;
    services_.host = config.host;
    services_.maildir_root = config.store.maildir_root;
    services_.defers_over_quota = config.store.defers_over_quota;
    services_.scratch_directory = engine.queue.directory;
    services_.state = &state;
    services_.policy = &policies_;
    services_.forwards = queue_.spool.get();
    services_.runner = queue_.runner.get();
    services_.trace = queue_.trace;
    services_.pool = &pool;
    services_.mailboxes = &mailboxes_;
    services_.clock = &clock;
    services_.rewriting = rewriting_ ? &*rewriting_ : nullptr;
    const SessionOptions options =
        SessionFor(Protocol::kLmtp, engine,
                   static_cast<uint64_t>(engine.smtp.max_message_octets) + kHeaderAllowanceOctets, tls);
    net::ListenOptions listen;
    listen.protocol = "lmtp";
    listen.most_per_address = listen.most_connections;  // relays are few, and ours
    listen.takes_new = [this] { return mailboxes_.Waiting() < net::kTurnPatience; };
    listen.elsewhere_reply = kCutOffReply;
    return Listen(loops, engine.lmtp.listen, listen,
                  [this, options](std::unique_ptr<net::Connection> connection) {
                    auto handler = MakeLmtpHandler(services_, connection->peer());
                    return ServeSession(std::move(connection), options, std::move(handler));
                  });
  }

 private:
  const route::FixedHop hops_;
  const std::optional<route::SenderRewriting> rewriting_;
  policy::Chain policies_{{}};
  StoreServices services_;
  // Of its own: deliveries that hang must hold up neither the queue nor those who read their mail.
  net::BlockingPool mailboxes_{kMailboxThreads};
};

}  // namespace

absl::StatusOr<std::unique_ptr<MailServer>> StartRelay(const net::Loops& loops, const AgentConfig& config,
                                                       state::StateReader& state, net::BlockingPool& pool,
                                                       const Clock& clock, const net::TlsServer* tls,
                                                       queue::TraceLog* trace) {
  PROV_ASSIGN_OR_RETURN(auto rewriting, LoadRewriting(config.engine.srs));
  auto server = std::make_unique<RelayServer>(config.engine, state, clock, std::move(rewriting));
  server->UseTrace(trace);
  PROV_RETURN_IF_ERROR(server->Start(loops, config, pool, clock, tls));
  return server;
}

absl::StatusOr<std::unique_ptr<MailServer>> StartStore(const net::Loops& loops, const AgentConfig& config,
                                                       state::StateReader& state, net::BlockingPool& pool,
                                                       const Clock& clock, const net::TlsServer* tls,
                                                       queue::TraceLog* trace) {
  PROV_ASSIGN_OR_RETURN(auto rewriting, LoadRewriting(config.engine.srs));
  auto server = std::make_unique<StoreServer>(config.engine, std::move(rewriting));
  server->UseTrace(trace);
  PROV_RETURN_IF_ERROR(server->Start(loops, config, state, pool, clock, tls));
  return server;
}

}  // namespace prov::smtp
