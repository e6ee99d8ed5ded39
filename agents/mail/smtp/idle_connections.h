// Connections to next hops that have carried a message and wait a moment for the next: a greeting and TLS
// cost more than a small message.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agents/mail/smtp/client_connection.h"

namespace prov::smtp {

constexpr std::chrono::seconds kIdlePatience{2};
// A connection ends after this, so that load spreads anew among the hosts behind a name.
constexpr std::chrono::minutes kLongestConnection{5};
constexpr size_t kMostMessagesPerConnection = 100;
constexpr size_t kMostIdle = 100;  // to all hops

// Belongs to one event loop; destroy it after the loop has ended.
class IdleConnections {
 public:
  explicit IdleConnections(const asio::any_io_executor& executor);

  // One to the hop of that name, the one that was used last; null when there is none. `endpoints`: where the
  // hop is now, other ones are left alone; empty: it does not matter.
  std::unique_ptr<ClientConnection> Take(const std::string& hop, const std::vector<std::string>& endpoints);
  // Its machine must be ready. Ends it when it has been used enough.
  void Keep(const std::string& hop, std::unique_ptr<ClientConnection> connection);
  // Ends all, and those that come later.
  void Stop();

 private:
  using Connections = std::vector<std::unique_ptr<ClientConnection>>;

  void End(std::unique_ptr<ClientConnection> connection);
  // Ends those that waited long enough.
  void Sweep();

  const asio::any_io_executor executor_;
  asio::steady_timer timer_;
  bool sweeping_ = false, stopped_ = false;
  size_t idle_ = 0;
  std::map<std::string, Connections> by_hop_;  // those used last at the back
};

}  // namespace prov::smtp
