#include "agents/mail/net/listener.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <asio/dispatch.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <atomic>
#include <chrono>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "agents/mail/net/host_port.h"
#include "agents/mail/net/network_prefix.h"
#include "agents/mail/net/proxy_header.h"
#include "agents/mail/net/spawn.h"
#include "agents/mail/net/tcp_connection.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::net {
namespace {

using asio::ip::tcp;

// Out of descriptors or memory: others have to finish first.
constexpr std::chrono::milliseconds kAcceptBackOff{100};
constexpr int kBacklog = 1024;
constexpr std::chrono::seconds kProxyHeaderPatience{5};

// The unit that per-address limits count: an IPv6 customer has a /64 at least.
constexpr unsigned kClientBits4 = 32, kClientBits6 = 64;

// Shared by the accept loop and the sessions, so that each may end after the Listener.
struct Shared {
  Shared(Loops all, ListenOptions options, Listener::Serve serve)
      : loops(std::move(all)),
        options(std::move(options)),
        serve(std::move(serve)),
        acceptor(loops.first()),
        open(loops.all().size()) {}

  const Loops loops;
  const ListenOptions options;
  const Listener::Serve serve;
  tcp::acceptor acceptor;
  size_t next_loop = 0;
  std::atomic<bool> stopped{false};
  std::atomic<size_t> sessions{0};
  std::atomic<size_t> introducing{0};  // connections of balancers whose header has yet to come
  std::atomic<uint16_t> port{0};
  std::mutex mutex;
  std::map<std::string, size_t> by_address;  // under the mutex
  std::vector<std::list<Connection*>> open;  // of each loop, on that loop alone
};

// What a session holds: its connection is known to the listener for as long as it lives. It was counted
// before.
class CountedConnection final : public Connection {
 public:
  CountedConnection(std::shared_ptr<Shared> shared, size_t loop, std::string key,
                    std::unique_ptr<Connection> inner)
      : shared_(std::move(shared)),
        open_(shared_->open[loop]),
        key_(std::move(key)),
        inner_(std::move(inner)) {
    place_ = open_.insert(open_.end(), this);
  }
  ~CountedConnection() override {
    open_.erase(place_);
    --shared_->sessions;
    const std::lock_guard lock(shared_->mutex);
    const auto count = shared_->by_address.find(key_);
    if (--count->second == 0) shared_->by_address.erase(count);
  }

  asio::awaitable<absl::StatusOr<std::string_view>> Read(std::chrono::milliseconds timeout) override {
    return inner_->Read(timeout);
  }
  asio::awaitable<absl::StatusOr<std::string_view>> ReadIdle(std::chrono::milliseconds timeout) override {
    return inner_->ReadIdle(timeout);
  }
  asio::awaitable<absl::Status> Write(std::string_view octets, std::chrono::milliseconds timeout) override {
    return inner_->Write(octets, timeout);
  }
  asio::awaitable<absl::Status> StartTls(const TlsParty& party, std::chrono::milliseconds timeout) override {
    return inner_->StartTls(party, timeout);
  }
  std::optional<TlsFacts> tls() const override { return inner_->tls(); }
  void StopIdling() override { inner_->StopIdling(); }
  void Close() override { inner_->Close(); }
  const Peer& peer() const override { return inner_->peer(); }

 private:
  const std::shared_ptr<Shared> shared_;
  std::list<Connection*>& open_;
  const std::string key_;
  const std::unique_ptr<Connection> inner_;
  std::list<Connection*>::iterator place_;
};

void Refuse(tcp::socket socket, const std::string& reply) {
  std::error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(reply), ignored);
}

bool IsFull(const Shared& shared) {
  return shared.sessions + shared.introducing >= shared.options.most_connections;
}

// False: there are too many, together or of that address.
bool Count(Shared& shared, const std::string& key, const std::string& address) {
  const ListenOptions& options = shared.options;
  const bool unlimited = options.unlimited && options.unlimited(address);
  const std::lock_guard lock(shared.mutex);
  const auto count = shared.by_address.find(key);
  const bool many_of_it =
      !unlimited && count != shared.by_address.end() && count->second >= options.most_per_address;
  if (many_of_it || IsFull(shared)) return false;
  ++shared.by_address[key];
  ++shared.sessions;
  return true;
}

void Admit(const std::shared_ptr<Shared>& shared, size_t loop, tcp::socket socket, Peer peer) {
  std::string key = NetworkPrefix(peer.address, kClientBits4, kClientBits6);
  const ListenOptions& options = shared->options;
  if (options.takes_new && !options.takes_new()) {
    Log(Level::kDebug, "connection_refused",
        {{"protocol", options.protocol}, {"client", key}, {"reason", "this host takes no new sessions"}});
    return Refuse(std::move(socket), options.elsewhere_reply);
  }
  if (!Count(*shared, key, peer.address)) {
    Log(Level::kWarning, "connection_refused",
        {{"protocol", options.protocol}, {"client", key}, {"reason", "too many connections"}});
    return Refuse(std::move(socket), options.busy_reply);
  }
  auto connection = std::make_unique<CountedConnection>(
      shared, loop, std::move(key), MakeTcpConnection(std::move(socket), std::move(peer)));
  Spawn(shared->loops.all()[loop], options.protocol, shared->serve(std::move(connection)));
}

// Takes the header from the socket, and not an octet more: what follows is the client's, and may be TLS.
asio::awaitable<absl::StatusOr<ProxyHeader>> TakeProxyHeader(tcp::socket& socket) {
  std::string seen;
  std::array<char, kMaxProxyV2Octets> buffer;
  for (;;) {
    std::error_code error;
    co_await socket.async_wait(tcp::socket::wait_read, asio::redirect_error(asio::use_awaitable, error));
    size_t came = 0;
    if (!error) came = socket.receive(asio::buffer(buffer), tcp::socket::message_peek, error);
    if (error) co_return absl::UnavailableError(error.message());
    const size_t before = seen.size();
    seen.append(buffer.data(), came);
    const absl::StatusOr<std::optional<ProxyHeader>> header = ParseProxyHeader(seen);
    if (!header.ok()) co_return header.status();
    // An unfinished one is all of what came.
    const size_t its_own = *header ? (*header)->octets - before : came;
    socket.receive(asio::buffer(buffer.data(), its_own), 0, error);
    if (error) co_return absl::UnavailableError(error.message());
    if (*header) co_return **header;
  }
}

asio::awaitable<void> Introduce(std::shared_ptr<Shared> shared, size_t loop,
                                std::shared_ptr<tcp::socket> socket, Peer balancer) {
  asio::steady_timer timer(socket->get_executor(), kProxyHeaderPatience);
  timer.async_wait([socket](const std::error_code& error) {
    std::error_code ignored;
    if (!error) socket->close(ignored);
  });
  const absl::StatusOr<ProxyHeader> header = co_await TakeProxyHeader(*socket);
  timer.cancel();
  --shared->introducing;
  if (shared->stopped) co_return;
  if (!header.ok()) {
    Log(Level::kWarning, "proxy_header_refused",
        {{"protocol", shared->options.protocol}, {"balancer", balancer.address}, {"error", header.status()}});
    co_return;
  }
  Admit(shared, loop, std::move(*socket), header->client.value_or(balancer));
}

// On the loop that the connection is to stay on.
void Receive(const std::shared_ptr<Shared>& shared, size_t loop, tcp::socket socket) {
  if (shared->stopped) return;
  Peer peer = RemoteOf(socket);
  if (peer.address.empty()) return;  // gone already
  if (!shared->options.balancers.Contains(peer.address))
    return Admit(shared, loop, std::move(socket), std::move(peer));
  if (IsFull(*shared)) return Refuse(std::move(socket), shared->options.busy_reply);
  ++shared->introducing;
  auto waiting = std::make_shared<tcp::socket>(std::move(socket));
  Spawn(shared->loops.all()[loop], shared->options.protocol,
        Introduce(shared, loop, std::move(waiting), std::move(peer)));
}

asio::awaitable<void> AcceptLoop(std::shared_ptr<Shared> shared) {
  asio::steady_timer pause(shared->loops.first());
  while (!shared->stopped) {
    const size_t loop = shared->next_loop++ % shared->loops.all().size();
    const asio::any_io_executor executor = shared->loops.all()[loop];
    std::error_code error;
    tcp::socket socket =
        co_await shared->acceptor.async_accept(executor, asio::redirect_error(asio::use_awaitable, error));
    if (shared->stopped) break;
    if (!error) {
      asio::dispatch(executor, [shared, loop, socket = std::move(socket)]() mutable {
        Receive(shared, loop, std::move(socket));
      });
      continue;
    }
    if (error == asio::error::connection_aborted) continue;
    Log(Level::kError, "accept_failed", {{"protocol", shared->options.protocol}, {"error", error.message()}});
    pause.expires_after(kAcceptBackOff);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

class TcpListener final : public Listener {
 public:
  explicit TcpListener(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  ~TcpListener() override { StopAccepting(); }

  void Stop() override {
    StopAccepting();
    ForEachOpen(&Connection::StopIdling);
  }
  void CloseAll() override { ForEachOpen(&Connection::Close); }
  size_t sessions() const override { return shared_->sessions; }
  uint16_t port() const override { return shared_->port; }

 private:
  void StopAccepting() {
    shared_->stopped = true;
    std::error_code ignored;
    shared_->acceptor.close(ignored);
  }

  void ForEachOpen(void (Connection::*act)()) {
    for (size_t loop = 0; loop < shared_->open.size(); ++loop) {
      asio::dispatch(shared_->loops.all()[loop], [shared = shared_, loop, act] {
        for (Connection* connection : shared->open[loop]) (connection->*act)();
      });
    }
  }

  const std::shared_ptr<Shared> shared_;
};

absl::StatusOr<tcp::endpoint> Resolve(const asio::any_io_executor& executor, const std::string& text) {
  PROV_ASSIGN_OR_RETURN(const HostPort host_port, ParseHostPort(text));
  std::error_code error;
  const asio::ip::address literal = asio::ip::make_address(host_port.host, error);
  if (!error) return tcp::endpoint(literal, host_port.port);
  tcp::resolver resolver(executor);
  const auto found = resolver.resolve(host_port.host, std::to_string(host_port.port), error);
  if (error || found.empty()) {
    return absl::UnavailableError(fmt::format("{}: no address: {}", text, error.message()));
  }
  return found.begin()->endpoint();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Start(const Loops& loops, ListenOptions options,
                                                          Serve serve) {
  PROV_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, Resolve(loops.first(), options.address));
  auto shared = std::make_shared<Shared>(loops, std::move(options), std::move(serve));
  std::error_code error;
  tcp::acceptor& acceptor = shared->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(kBacklog, error);
  if (error) {
    return absl::UnavailableError(
        fmt::format("cannot listen on {}: {}", shared->options.address, error.message()));
  }
  shared->port = acceptor.local_endpoint().port();
  Spawn(loops.first(), "accept", AcceptLoop(shared));
  return std::make_unique<TcpListener>(std::move(shared));
}

}  // namespace prov::net
