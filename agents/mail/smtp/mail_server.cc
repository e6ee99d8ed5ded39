#include "agents/mail/smtp/mail_server.h"

#include <string>
#include <utility>

#include "agents/mail/net/address_set.h"
#include "agents/mail/net/listener.h"
#include "agents/mail/net/tls_client.h"
#include "agents/mail/policy/relay_policy.h"
#include "agents/mail/queue/runner.h"
#include "agents/mail/queue/spool.h"
#include "agents/mail/route/next_hop.h"
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
constexpr char kBusyReply[] = "421 4.7.0 too many connections, come again\r\n";
// The relay adds its header to messages that were as large as allowed.
constexpr uint64_t kHeaderAllowanceOctets = 64 * 1024;

SessionOptions SessionFor(Protocol protocol, const AgentConfig::Engine& engine, uint64_t max_message_octets,
                          const net::TlsServer* tls) {
  const net::TlsUse use = tls == nullptr ? net::TlsUse::kNone : net::TlsUse::kOnDemand;
  return {{protocol, engine.hostname, max_message_octets, use}, {use, tls}, {}};
}

// A spool with the runner that empties it.
struct Queue {
  std::unique_ptr<queue::Spool> spool;
  std::unique_ptr<queue::Transport> transport;
  std::unique_ptr<queue::Runner> runner;

  absl::Status Open(const AgentConfig::Engine& engine, const char* name, const route::NextHops& hops,
                    const asio::any_io_executor& executor, net::BlockingPool& pool, const Clock& clock) {
    PROV_RETURN_IF_ERROR(EnsureDirectory(engine.queue.directory, kQueueMode));
    PROV_ASSIGN_OR_RETURN(spool, queue::Spool::Open(engine.queue.directory + "/" + name));
    PROV_ASSIGN_OR_RETURN(auto tls, net::OpportunisticTls::Make());
    transport = std::make_unique<QueueTransport>(engine.hostname, std::move(tls), pool);
    queue::RunnerOptions options;
    options.hostname = engine.hostname;
    options.retry = {engine.queue.first_retry, engine.queue.longest_retry, engine.queue.give_up};
    runner =
        std::make_unique<queue::Runner>(executor, *spool, pool, hops, *transport, std::move(options), clock);
    return runner->Start();
  }
};

class ServerBase : public MailServer {
 public:
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

 protected:
  absl::Status Listen(const asio::any_io_executor& executor, const std::vector<std::string>& addresses,
                      const net::ListenOptions& common, const net::Listener::Serve& serve) {
    for (const std::string& address : addresses) {
      net::ListenOptions options = common;
      options.address = address;
      options.busy_reply = kBusyReply;
      options.balancers = balancers_;
      PROV_ASSIGN_OR_RETURN(auto listener, net::Listener::Start(executor, std::move(options), serve));
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
  RelayServer(const AgentConfig::Engine& engine, state::StateReader& state, net::BlockingPool& pool,
              const Clock& clock)
      : state_(state),
        router_(state, clock),
        hops_(router_, engine.smtp.smarthost),
        recipients_(router_, pool, engine.hostname),
        policies_({&recipients_}) {}

  absl::Status Start(const asio::any_io_executor& executor, const AgentConfig& config,
                     net::BlockingPool& pool, const Clock& clock, const net::TlsServer* tls) {
    const AgentConfig::Engine& engine = config.engine;
    PROV_ASSIGN_OR_RETURN(balancers_, net::AddressSet::Parse(engine.balancers));
    PROV_ASSIGN_OR_RETURN(trusted_, net::AddressSet::Parse(engine.smtp.trusted_networks));
    PROV_RETURN_IF_ERROR(queue_.Open(engine, "relay", hops_, executor, pool, clock));
    services_ = {engine.hostname, &policies_, queue_.spool.get(), queue_.runner.get(), &pool, &clock};
    const SessionOptions options =
        SessionFor(Protocol::kSmtp, engine, static_cast<uint64_t>(engine.smtp.max_message_octets), tls);
    net::ListenOptions listen;
    listen.protocol = "smtp";
    listen.unlimited = [this](const std::string& address) { return trusted_.Contains(address); };
    listen.takes_new = [this, host = config.host] { return state_.TakesNewSessions(v1::RELAY, host); };
    listen.elsewhere_reply = kDrainedReply;
    return Listen(executor, engine.smtp.listen, listen,
                  [this, options](std::unique_ptr<net::Connection> connection) {
                    const net::Peer& peer = connection->peer();
                    auto handler = MakeRelayHandler(services_, peer, trusted_.Contains(peer.address));
                    return ServeSession(std::move(connection), options, std::move(handler));
                  });
  }

 private:
  state::StateReader& state_;
  const route::Router router_;
  const route::RelayHops hops_;
  policy::RelayPolicy recipients_;
  policy::Chain policies_;
  net::AddressSet trusted_;
  RelayServices services_;
};

class StoreServer final : public ServerBase {
 public:
  explicit StoreServer(const AgentConfig::Engine& engine) : hops_(engine.lmtp.forward_relay) {}

  absl::Status Start(const asio::any_io_executor& executor, const AgentConfig& config,
                     state::StateReader& state, net::BlockingPool& pool, const Clock& clock,
                     const net::TlsServer* tls) {
    const AgentConfig::Engine& engine = config.engine;
    PROV_ASSIGN_OR_RETURN(balancers_, net::AddressSet::Parse(engine.balancers));
    PROV_RETURN_IF_ERROR(queue_.Open(engine, "forward", hops_, executor, pool, clock));
    services_.hostname = engine.hostname;
    services_.host = config.host;
    services_.maildir_root = config.store.maildir_root;
    services_.defers_over_quota = config.store.defers_over_quota;
    services_.scratch_directory = engine.queue.directory;
    services_.state = &state;
    services_.policy = &policies_;
    services_.forwards = queue_.spool.get();
    services_.runner = queue_.runner.get();
    services_.pool = &pool;
    services_.clock = &clock;
    const SessionOptions options =
        SessionFor(Protocol::kLmtp, engine,
                   static_cast<uint64_t>(engine.smtp.max_message_octets) + kHeaderAllowanceOctets, tls);
    net::ListenOptions listen;
    listen.protocol = "lmtp";
    listen.most_per_address = listen.most_connections;  // relays are few, and ours
    return Listen(executor, engine.lmtp.listen, listen,
                  [this, options](std::unique_ptr<net::Connection> connection) {
                    auto handler = MakeLmtpHandler(services_, connection->peer());
                    return ServeSession(std::move(connection), options, std::move(handler));
                  });
  }

 private:
  const route::FixedHop hops_;
  policy::Chain policies_{{}};
  StoreServices services_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MailServer>> StartRelay(const asio::any_io_executor& executor,
                                                       const AgentConfig& config, state::StateReader& state,
                                                       net::BlockingPool& pool, const Clock& clock,
                                                       const net::TlsServer* tls) {
  auto server = std::make_unique<RelayServer>(config.engine, state, pool, clock);
  PROV_RETURN_IF_ERROR(server->Start(executor, config, pool, clock, tls));
  return server;
}

absl::StatusOr<std::unique_ptr<MailServer>> StartStore(const asio::any_io_executor& executor,
                                                       const AgentConfig& config, state::StateReader& state,
                                                       net::BlockingPool& pool, const Clock& clock,
                                                       const net::TlsServer* tls) {
  auto server = std::make_unique<StoreServer>(config.engine);
  PROV_RETURN_IF_ERROR(server->Start(executor, config, state, pool, clock, tls));
  return server;
}

}  // namespace prov::smtp
