// Accepts connections on one address, within limits, and starts a session for each.
#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agents/mail/net/address_set.h"
#include "agents/mail/net/connection.h"
#include "agents/mail/net/loops.h"

namespace prov::net {

struct ListenOptions {
  std::string address;               // host:port; port 0 takes a free one
  const char* protocol = "";         // for logs
  size_t most_connections = 20'000;  // at a time, together
  size_t most_per_address = 50;      // at a time, from one IPv4 address or one IPv6 /64
  // Addresses that most_per_address does not hold for; nothing: none.
  std::function<bool(const std::string& address)> unlimited;
  // Load balancers: what comes from them begins with a PROXY header, which says who the client is. From
  // nobody else it is believed.
  AddressSet balancers;
  std::string busy_reply;  // said to those beyond the limits, whole lines; empty: nothing is said
  // Whether new sessions are taken now; nothing: always. Asked for each connection.
  std::function<bool()> takes_new;
  std::string elsewhere_reply;  // said to newcomers when they are not
};

// Belongs to the first of its loops, but for sessions() and port().
class Listener {
 public:
  using Serve = std::function<asio::awaitable<void>(std::unique_ptr<Connection>)>;

  // Accepts from now on, and shares sessions out among the loops: `serve`, and what the options call, run on
  // any of them. UNAVAILABLE when the address cannot be had, INVALID_ARGUMENT when it is none.
  static absl::StatusOr<std::unique_ptr<Listener>> Start(const Loops& loops, ListenOptions options,
                                                         Serve serve);
  // Stops accepting. Sessions under way go on.
  virtual ~Listener() = default;

  // Accepts no more, and tells sessions that idle to end (Connection::StopIdling). Others go on.
  virtual void Stop() = 0;
  // Closes the connections of all that is left.
  virtual void CloseAll() = 0;
  // Sessions under way. Thread-safe.
  virtual size_t sessions() const = 0;
  // The port it listens on. Thread-safe.
  virtual uint16_t port() const = 0;
};

}  // namespace prov::net
