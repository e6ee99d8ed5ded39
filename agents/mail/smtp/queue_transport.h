// Carries queued messages by SMTP and LMTP: the queue's Transport.
#pragma once

#include <memory>
#include <string>

#include "agents/mail/net/blocking.h"
#include "agents/mail/net/tls_client.h"
#include "agents/mail/queue/transport.h"

namespace prov::smtp {

class QueueTransport final : public queue::Transport {
 public:
  // `hostname` is ours. `pool` must outlive it. TLS is used where the other side offers it.
  QueueTransport(std::string hostname, std::unique_ptr<net::OpportunisticTls> tls, net::BlockingPool& pool)
      : hostname_(std::move(hostname)), tls_(std::move(tls)), pool_(pool) {}

  // Tries each endpoint of the hop until one takes part.
  asio::awaitable<std::vector<queue::Outcome>> Deliver(const queue::DeliveryRequest& request) override;

 private:
  struct Attempt;
  enum class Security { kIfOffered, kClear };
  asio::awaitable<Attempt> Try(const queue::DeliveryRequest& request, const std::string& endpoint,
                               Security security);

  const std::string hostname_;
  const std::unique_ptr<net::OpportunisticTls> tls_;
  net::BlockingPool& pool_;
};

}  // namespace prov::smtp
