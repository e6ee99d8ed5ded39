#include "agents/mail/smtp/queue_transport.h"

#include <fmt/format.h>

#include <algorithm>
#include <asio/use_awaitable.hpp>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "agents/mail/net/connector.h"
#include "agents/mail/net/tls_party.h"
#include "agents/mail/smtp/client_session.h"
#include "agents/mail/smtp/remaining_recipients.h"
#include "common/log.h"
#include "common/random.h"
#include "common/status.h"

namespace prov::smtp {
namespace {

using queue::Outcome;
using queue::State;

constexpr std::chrono::seconds kConnectPatience{30};
constexpr uint16_t kSmtpPort = 25;  // RFC 5321 section 4.5.4.2

Outcome OutcomeOf(const Reply& reply) {
  const State state = reply.code / 100 == 2   ? State::kDelivered
                      : reply.code / 100 == 5 ? State::kFailed
                                              : State::kPending;
  return {state, ReplyText(reply)};
}

std::string EndpointOf(const asio::ip::address& address) {
  const std::string text = address.to_string();
  return address.is_v6() ? fmt::format("[{}]:{}", text, kSmtpPort) : fmt::format("{}:{}", text, kSmtpPort);
}

std::string HostOf(const std::string& endpoint) { return endpoint.substr(0, endpoint.rfind(':')); }

// A message of the queue, whose first piece has been read with the opening of its file: most have no other.
struct Content {
  std::unique_ptr<queue::ContentReader> reader;
  std::optional<std::string> first;
  uint64_t octets_left = 0;
};

// Blocks.
absl::StatusOr<std::shared_ptr<Content>> OpenContent(const queue::DeliveryRequest& request) {
  auto content = std::make_shared<Content>();
  PROV_ASSIGN_OR_RETURN(content->reader, request.spool->OpenContent(*request.message));
  PROV_ASSIGN_OR_RETURN(content->first, content->reader->Read());
  content->octets_left = request.message->content_octets;
  return content;
}

// Reads what is left off the loop.
ContentSource SourceOf(net::BlockingPool& pool, std::shared_ptr<Content> content) {
  return [&pool, content]() -> asio::awaitable<absl::StatusOr<std::string>> {
    absl::StatusOr<std::string> piece = std::string();
    if (content->first) {
      piece = *std::exchange(content->first, std::nullopt);
    } else if (content->octets_left > 0) {
      // By reference: GCC 12 destroys twice what a closure that is awaited has captured by value.
      queue::ContentReader& reader = *content->reader;
      piece = co_await net::RunBlocking(pool, [&reader] { return reader.Read(); });
    }
    if (piece.ok()) content->octets_left -= piece->size();
    co_return piece;
  };
}

ClientMessage ClientMessageOf(const queue::DeliveryRequest& request) {
  const queue::Envelope& envelope = request.message->envelope;
  ClientMessage message{envelope.sender, request.addresses, request.message->content_octets,
                        envelope.eight_bit, envelope.utf8};
  message.returned = envelope.returned;
  message.envelope_id = envelope.envelope_id;
  for (const size_t index : request.recipients) {
    const queue::Recipient& recipient = envelope.recipients[index];
    message.wishes.push_back({recipient.notify, recipient.original});
  }
  return message;
}

bool AllPutOff(const std::vector<Outcome>& outcomes) {
  return std::all_of(outcomes.begin(), outcomes.end(),
                     [](const Outcome& outcome) { return outcome.state == State::kPending; });
}

bool IsBeyondAscii(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) > 0x7f; });
}

// RFC 6531 section 3.6: an address or the header has more than ASCII. A header longer than the first piece
// counts as one that does.
bool NeedsUtf8(const ClientMessage& message, const std::optional<std::string>& first) {
  const bool in_address = IsBeyondAscii(message.sender) ||
                          std::any_of(message.recipients.begin(), message.recipients.end(), IsBeyondAscii);
  if (in_address || !first) return true;
  const size_t end = first->find("\r\n\r\n");
  return (end == first->npos && first->size() < message.octets) ||
         IsBeyondAscii(std::string_view(*first).substr(0, end));
}

uint32_t RandomSeed() {
  uint32_t seed = 0;
  memcpy(&seed, RandomOctets(sizeof seed).data(), sizeof seed);
  return seed;
}

}  // namespace

// What came of one endpoint, or of all.
struct QueueTransport::Attempt {
  std::vector<Outcome> outcomes;                 // empty: it took no part
  std::string reason = "450 4.4.1 no endpoint";  // why it took none
  bool tls_failed = false;

  // The same for all.
  static Attempt Of(const queue::DeliveryRequest& request, State state, std::string reply) {
    Attempt attempt;
    attempt.outcomes.assign(request.addresses.size(), {state, std::move(reply)});
    return attempt;
  }
};

struct QueueTransport::Target {
  std::string endpoint;  // host:port
  std::string name;      // of the host, for TLS
};

QueueTransport::QueueTransport(const asio::any_io_executor& executor, TransportOptions options,
                               net::BlockingPool& pool)
    : options_(std::move(options)), pool_(pool), random_(RandomSeed()), idle_(executor) {}

asio::awaitable<QueueTransport::Attempt> QueueTransport::Carry(const queue::DeliveryRequest& request,
                                                               std::unique_ptr<ClientConnection> connection) {
  const absl::StatusOr<std::shared_ptr<Content>> content =
      co_await net::RunBlocking(pool_, [&request] { return OpenContent(request); });
  if (!content.ok()) {
    if (connection->machine) idle_.Keep(request.hop.name, std::move(connection));
    co_return Attempt::Of(request, State::kPending, fmt::format("451 4.3.0 {}", MessageOf(content.status())));
  }
  ClientMessage message = ClientMessageOf(request);
  // Some say SMTPUTF8 of everything; what is ASCII may go anywhere.
  message.utf8 = message.utf8 && NeedsUtf8(message, (*content)->first);
  if (connection->machine) {
    connection->machine->Begin(std::move(message));
  } else {
    const Protocol protocol = request.hop.lmtp ? Protocol::kLmtp : Protocol::kSmtp;
    connection->machine = std::make_unique<ClientMachine>(
        ClientOptions{protocol, options_.hostname, connection->tls != nullptr}, std::move(message));
  }
  ClientMachine& machine = *connection->machine;
  const ContentSource source = SourceOf(pool_, *content);
  co_await RunClient(*connection->connection, machine, source, connection->tls.get());
  ++connection->messages;
  Attempt attempt;
  attempt.tls_failed = machine.tls_failed();
  if (machine.spoke()) {
    for (const Reply& reply : machine.replies()) {
      attempt.outcomes.push_back(OutcomeOf(reply));
      attempt.outcomes.back().final = request.hop.lmtp;
      attempt.outcomes.back().told_by_next_hop = machine.passed_wishes_on();
    }
  } else {
    attempt.reason = ReplyText(machine.replies().front());
  }
  // One host of a pool may be unable to store anything: over a connection that is kept to it, no other would
  // be asked.
  if (machine.ready() && !AllPutOff(attempt.outcomes)) idle_.Keep(request.hop.name, std::move(connection));
  co_return attempt;
}

asio::awaitable<QueueTransport::Attempt> QueueTransport::Try(const queue::DeliveryRequest& request,
                                                             const Target& target, Security security) {
  absl::StatusOr<std::unique_ptr<net::Connection>> opened =
      co_await net::Connect(target.endpoint, kConnectPatience);
  if (!opened.ok()) {
    Attempt attempt;
    attempt.reason = fmt::format("450 4.4.1 {}", MessageOf(opened.status()));
    co_return attempt;
  }
  auto connection = std::make_unique<ClientConnection>();
  connection->endpoint = target.endpoint;
  if (security == Security::kIfOffered) connection->tls = options_.tls->Towards(target.name);
  connection->connection = *std::move(opened);
  connection->opened = std::chrono::steady_clock::now();
  co_return co_await Carry(request, std::move(connection));
}

asio::awaitable<QueueTransport::Attempt> QueueTransport::ToTarget(const queue::DeliveryRequest& request,
                                                                  const Target& target) {
  Attempt attempt = co_await Try(request, target, Security::kIfOffered);
  if (!attempt.tls_failed) co_return attempt;
  // RFC 7435 section 3: what cannot be encrypted goes in clear rather than not at all.
  Log(Level::kInfo, "tls_failed",
      {{"trace", request.message->envelope.trace}, {"hop", target.endpoint}, {"reason", attempt.reason}});
  co_return co_await Try(request, target, Security::kClear);
}

asio::awaitable<QueueTransport::Attempt> QueueTransport::ToEndpoints(const queue::DeliveryRequest& request) {
  Attempt attempt;
  for (const std::string& endpoint : request.hop.endpoints) {
    const Target target{endpoint, HostOf(endpoint)};
    attempt = co_await ToTarget(request, target);
    if (!attempt.outcomes.empty()) break;
  }
  co_return attempt;
}

asio::awaitable<QueueTransport::Attempt> QueueTransport::ToExchangers(const queue::DeliveryRequest& request) {
  const std::string& domain = request.hop.domain;
  Attempt attempt;
  if (!options_.resolver) co_return attempt;
  absl::StatusOr<std::vector<dns::MailExchanger>> found = co_await options_.resolver->FindExchangers(domain);
  if (absl::IsUnavailable(found.status())) {
    attempt.reason = fmt::format("451 4.4.3 {}", MessageOf(found.status()));
    co_return attempt;
  }
  if (!found.ok()) {
    co_return Attempt::Of(request, State::kFailed, fmt::format("550 5.1.2 {}", MessageOf(found.status())));
  }
  const dns::ExchangerOrder order =
      dns::OrderExchangers(*std::move(found), domain, options_.hostname, random_);
  if (!order.refusal.empty()) {
    // A domain that came to us since our copy was current has us as its exchanger, rightly.
    const bool final = !request.hop.may_be_ours;
    co_return Attempt::Of(request, final ? State::kFailed : State::kPending, order.refusal);
  }
  bool certain = true;  // that there is no address
  size_t tried = 0;
  RemainingRecipients remaining(request);
  for (const std::string& host : order.hosts) {
    if (tried == kMostAddressesPerDelivery) break;
    const absl::StatusOr<std::vector<asio::ip::address>> addresses =
        co_await options_.resolver->FindAddresses(host);
    if (absl::IsUnavailable(addresses.status())) {
      certain = false;
      attempt.reason = fmt::format("451 4.4.3 {}", MessageOf(addresses.status()));
    }
    if (!addresses.ok()) continue;
    const size_t most = std::min(kMostAddressesPerHost, kMostAddressesPerDelivery - tried);
    for (const asio::ip::address& address : dns::AlternateFamilies(*addresses, most)) {
      ++tried;
      const Target target{EndpointOf(address), host};
      attempt = co_await ToTarget(remaining.request(), target);
      if (attempt.outcomes.empty()) continue;
      remaining.Take(std::move(attempt.outcomes));
      attempt.outcomes.clear();
      break;  // another address is of the same host, which has said what it wants
    }
    if (remaining.done()) break;
  }
  if (tried == 0 && certain) {
    // RFC 5321 section 5.1: exchangers that cannot be used are an error, and not the domain's own addresses
    // tried.
    co_return Attempt::Of(request, State::kFailed,
                          fmt::format("550 5.4.4 no mail exchanger of {} has an address", domain));
  }
  attempt.outcomes = remaining.outcomes();
  co_return attempt;
}

asio::awaitable<std::vector<Outcome>> QueueTransport::Deliver(const queue::DeliveryRequest& request) {
  Attempt attempt;
  // One that the other side has closed meanwhile says nothing about the next; and over one to an exchanger
  // that puts everything off, the others would never be asked.
  std::unique_ptr<ClientConnection> kept = idle_.Take(request.hop.name, request.hop.endpoints);
  if (kept) attempt = co_await Carry(request, std::move(kept));
  const bool by_domain = request.hop.endpoints.empty();
  RemainingRecipients remaining(request);
  if (!attempt.outcomes.empty()) remaining.Take(std::move(attempt.outcomes));
  if (by_domain && !remaining.done()) {
    attempt = co_await ToExchangers(remaining.request());
    if (!attempt.outcomes.empty()) remaining.Take(std::move(attempt.outcomes));
  } else if (!by_domain && remaining.outcomes().empty()) {
    attempt = co_await ToEndpoints(request);
    if (!attempt.outcomes.empty()) remaining.Take(std::move(attempt.outcomes));
  }
  if (!remaining.outcomes().empty()) co_return remaining.outcomes();
  Outcome outcome{State::kPending, attempt.reason};
  outcome.unreachable = true;
  co_return std::vector<Outcome>(request.addresses.size(), outcome);
}

}  // namespace prov::smtp
