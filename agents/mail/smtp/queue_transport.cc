#include "agents/mail/smtp/queue_transport.h"

#include <fmt/format.h>

#include <asio/use_awaitable.hpp>
#include <memory>
#include <utility>

#include "agents/mail/net/connector.h"
#include "agents/mail/smtp/client_session.h"
#include "common/status.h"

namespace prov::smtp {
namespace {

using queue::Outcome;
using queue::State;

constexpr std::chrono::seconds kConnectPatience{30};

Outcome OutcomeOf(const Reply& reply) {
  const State state = reply.code / 100 == 2   ? State::kDelivered
                      : reply.code / 100 == 5 ? State::kFailed
                                              : State::kPending;
  return {state, ReplyText(reply)};
}

// Reads the message from the queue, off the loop.
ContentSource SourceOf(net::BlockingPool& pool, std::shared_ptr<queue::ContentReader> reader) {
  return [&pool, reader]() -> asio::awaitable<absl::StatusOr<std::string>> {
    return net::RunBlocking(pool, [reader] { return reader->Read(); });
  };
}

}  // namespace

asio::awaitable<std::vector<Outcome>> QueueTransport::Deliver(const queue::DeliveryRequest& request) {
  const queue::Envelope& envelope = request.message->envelope;
  const Protocol protocol = request.hop.lmtp ? Protocol::kLmtp : Protocol::kSmtp;
  std::string last = "450 4.4.1 no endpoint";
  for (const std::string& endpoint : request.hop.endpoints) {
    absl::StatusOr<std::unique_ptr<net::Connection>> connection =
        co_await net::Connect(endpoint, kConnectPatience);
    if (!connection.ok()) {
      last = fmt::format("450 4.4.1 {}", MessageOf(connection.status()));
      continue;
    }
    absl::StatusOr<std::unique_ptr<queue::ContentReader>> reader =
        co_await net::RunBlocking(pool_, [&request] { return request.spool->OpenContent(*request.message); });
    if (!reader.ok()) {
      Outcome outcome{State::kPending, fmt::format("451 4.3.0 {}", MessageOf(reader.status()))};
      co_return std::vector<Outcome>(request.addresses.size(), outcome);
    }
    ClientMessage message{envelope.sender, request.addresses, request.message->content_octets,
                          envelope.eight_bit};
    ClientMachine machine(protocol, hostname_, std::move(message));
    const ContentSource source = SourceOf(pool_, *std::move(reader));
    co_await RunClient(**connection, machine, source);
    if (!machine.spoke()) {
      last = ReplyText(machine.replies().front());
      continue;
    }
    std::vector<Outcome> outcomes;
    for (const Reply& reply : machine.replies()) outcomes.push_back(OutcomeOf(reply));
    co_return outcomes;
  }
  Outcome outcome{State::kPending, last};
  outcome.unreachable = true;
  co_return std::vector<Outcome>(request.addresses.size(), outcome);
}

}  // namespace prov::smtp
