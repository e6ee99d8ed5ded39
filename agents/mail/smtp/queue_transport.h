// Carries queued messages by SMTP and LMTP: the queue's Transport.
#pragma once

#include <asio/any_io_executor.hpp>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "agents/mail/dns/resolver.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/net/tls_client.h"
#include "agents/mail/queue/transport.h"
#include "agents/mail/smtp/idle_connections.h"

namespace prov::smtp {

// RFC 5321 section 5.1 wants two addresses tried at least.
constexpr size_t kMostAddressesPerDelivery = 8;
// So that a host with many does not keep the next one out.
constexpr size_t kMostAddressesPerHost = 4;

struct TransportOptions {
  std::string hostname;                        // ours
  std::unique_ptr<net::OpportunisticTls> tls;  // used where the other side offers it
  dns::Resolver* resolver = nullptr;           // null: no hop is a domain; must outlive it
};

// Belongs to one event loop; destroy it after the loop has ended.
class QueueTransport final : public queue::Transport {
 public:
  // `pool` must outlive it.
  QueueTransport(const asio::any_io_executor& executor, TransportOptions options, net::BlockingPool& pool);

  // Over a connection that is open, or else to each endpoint of the hop until one takes part; or to its
  // domain's exchangers until none of its recipients is put off.
  asio::awaitable<std::vector<queue::Outcome>> Deliver(const queue::DeliveryRequest& request) override;
  void Stop() override { idle_.Stop(); }

 private:
  struct Attempt;
  struct Target;
  enum class Security { kIfOffered, kClear };

  asio::awaitable<Attempt> ToEndpoints(const queue::DeliveryRequest& request);
  asio::awaitable<Attempt> ToExchangers(const queue::DeliveryRequest& request);
  asio::awaitable<Attempt> ToTarget(const queue::DeliveryRequest& request, const Target& target);
  asio::awaitable<Attempt> Try(const queue::DeliveryRequest& request, const Target& target,
                               Security security);
  // The message, over a connection whose machine is ready or new; keeps it for the next.
  asio::awaitable<Attempt> Carry(const queue::DeliveryRequest& request,
                                 std::unique_ptr<ClientConnection> connection);

  const TransportOptions options_;
  net::BlockingPool& pool_;
  std::mt19937 random_;
  IdleConnections idle_;
};

}  // namespace prov::smtp
