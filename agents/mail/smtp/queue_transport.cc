#include "agents/mail/smtp/queue_transport.h"

#include <fmt/format.h>

#include <asio/use_awaitable.hpp>
#include <memory>
#include <utility>

#include "agents/mail/net/connector.h"
#include "agents/mail/net/tls_party.h"
#include "agents/mail/smtp/client_session.h"
#include "common/log.h"
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

// What came of one endpoint.
struct QueueTransport::Attempt {
  std::vector<Outcome> outcomes;  // empty: it took no part
  std::string reason;             // why it took none
  bool tls_failed = false;
};

asio::awaitable<QueueTransport::Attempt> QueueTransport::Try(const queue::DeliveryRequest& request,
                                                             const std::string& endpoint, Security security) {
  Attempt attempt;
  absl::StatusOr<std::unique_ptr<net::Connection>> connection =
      co_await net::Connect(endpoint, kConnectPatience);
  if (!connection.ok()) {
    attempt.reason = fmt::format("450 4.4.1 {}", MessageOf(connection.status()));
    co_return attempt;
  }
  absl::StatusOr<std::unique_ptr<queue::ContentReader>> reader =
      co_await net::RunBlocking(pool_, [&request] { return request.spool->OpenContent(*request.message); });
  if (!reader.ok()) {
    const Outcome outcome{State::kPending, fmt::format("451 4.3.0 {}", MessageOf(reader.status()))};
    attempt.outcomes.assign(request.addresses.size(), outcome);
    co_return attempt;
  }
  const queue::Envelope& envelope = request.message->envelope;
  const Protocol protocol = request.hop.lmtp ? Protocol::kLmtp : Protocol::kSmtp;
  ClientMachine machine(
      {protocol, hostname_, security == Security::kIfOffered},
      {envelope.sender, request.addresses, request.message->content_octets, envelope.eight_bit});
  const ContentSource source = SourceOf(pool_, *std::move(reader));
  const std::unique_ptr<net::TlsParty> tls = tls_->Towards(endpoint.substr(0, endpoint.rfind(':')));
  co_await RunClient(**connection, machine, source, tls.get());
  attempt.tls_failed = machine.tls_failed();
  if (machine.spoke()) {
    for (const Reply& reply : machine.replies()) attempt.outcomes.push_back(OutcomeOf(reply));
  } else {
    attempt.reason = ReplyText(machine.replies().front());
  }
  co_return attempt;
}

asio::awaitable<std::vector<Outcome>> QueueTransport::Deliver(const queue::DeliveryRequest& request) {
  std::string last = "450 4.4.1 no endpoint";
  for (const std::string& endpoint : request.hop.endpoints) {
    Attempt attempt = co_await Try(request, endpoint, Security::kIfOffered);
    if (attempt.tls_failed) {
      // RFC 7435 section 3: what cannot be encrypted goes in clear rather than not at all.
      Log(Level::kInfo, "tls_failed",
          {{"trace", request.message->envelope.trace}, {"hop", endpoint}, {"reason", attempt.reason}});
      attempt = co_await Try(request, endpoint, Security::kClear);
    }
    if (!attempt.outcomes.empty()) co_return std::move(attempt.outcomes);
    last = std::move(attempt.reason);
  }
  Outcome outcome{State::kPending, last};
  outcome.unreachable = true;
  co_return std::vector<Outcome>(request.addresses.size(), outcome);
}

}  // namespace prov::smtp
