// Carries queued messages by SMTP and LMTP: the queue's Transport.
#pragma once

#include <string>

#include "agents/mail/net/blocking.h"
#include "agents/mail/queue/transport.h"

namespace prov::smtp {

class QueueTransport final : public queue::Transport {
 public:
  // `hostname` is ours. `pool` must outlive it.
  QueueTransport(std::string hostname, net::BlockingPool& pool)
      : hostname_(std::move(hostname)), pool_(pool) {}

  // Tries each endpoint of the hop until one takes part.
  asio::awaitable<std::vector<queue::Outcome>> Deliver(const queue::DeliveryRequest& request) override;

 private:
  const std::string hostname_;
  net::BlockingPool& pool_;
};

}  // namespace prov::smtp
