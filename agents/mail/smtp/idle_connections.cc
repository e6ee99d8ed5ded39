#include "agents/mail/smtp/idle_connections.h"

#include <algorithm>
#include <asio/awaitable.hpp>
#include <asio/use_awaitable.hpp>
#include <system_error>
#include <utility>

#include "agents/mail/net/spawn.h"
#include "agents/mail/smtp/client_session.h"

namespace prov::smtp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kSweepInterval{500};

asio::awaitable<void> SayFarewell(std::unique_ptr<ClientConnection> connection) {
  connection->machine->Quit();
  const ContentSource none;
  co_await RunClient(*connection->connection, *connection->machine, none, connection->tls.get());
}

}  // namespace

IdleConnections::IdleConnections(const asio::any_io_executor& executor)
    : executor_(executor), timer_(executor) {}

std::unique_ptr<ClientConnection> IdleConnections::Take(const std::string& hop,
                                                        const std::vector<std::string>& endpoints) {
  const auto found = by_hop_.find(hop);
  if (found == by_hop_.end()) return nullptr;
  Connections& connections = found->second;
  const auto fits = [&endpoints](const std::unique_ptr<ClientConnection>& one) {
    return endpoints.empty() ||
           std::find(endpoints.begin(), endpoints.end(), one->endpoint) != endpoints.end();
  };
  const auto last = std::find_if(connections.rbegin(), connections.rend(), fits);
  if (last == connections.rend()) return nullptr;
  std::unique_ptr<ClientConnection> taken = std::move(*last);
  connections.erase(std::next(last).base());
  --idle_;
  if (connections.empty()) by_hop_.erase(found);
  return taken;
}

void IdleConnections::Keep(const std::string& hop, std::unique_ptr<ClientConnection> connection) {
  const Clock::time_point now = Clock::now();
  const bool used_up =
      connection->messages >= kMostMessagesPerConnection || now - connection->opened >= kLongestConnection;
  if (stopped_ || used_up || idle_ >= kMostIdle) return End(std::move(connection));
  connection->idle_since = now;
  by_hop_[hop].push_back(std::move(connection));
  ++idle_;
  if (!std::exchange(sweeping_, true)) Sweep();
}

void IdleConnections::Stop() {
  stopped_ = true;
  timer_.cancel();
  for (auto& [hop, connections] : std::exchange(by_hop_, {})) {
    for (auto& connection : connections) End(std::move(connection));
  }
  idle_ = 0;
}

void IdleConnections::End(std::unique_ptr<ClientConnection> connection) {
  net::Spawn(executor_, "farewell", SayFarewell(std::move(connection)));
}

void IdleConnections::Sweep() {
  const Clock::time_point longest = Clock::now() - kIdlePatience;
  for (auto hop = by_hop_.begin(); hop != by_hop_.end();) {
    Connections& connections = hop->second;
    const auto young = std::find_if(connections.begin(), connections.end(),
                                    [&](const auto& one) { return one->idle_since > longest; });
    for (auto old = connections.begin(); old != young; ++old, --idle_) End(std::move(*old));
    connections.erase(connections.begin(), young);
    hop = connections.empty() ? by_hop_.erase(hop) : std::next(hop);
  }
  sweeping_ = !by_hop_.empty();
  if (!sweeping_) return;
  timer_.expires_after(kSweepInterval);
  timer_.async_wait([this](const std::error_code& error) {
    if (!error) Sweep();
  });
}

}  // namespace prov::smtp
