#include "agents/mail/policy/rate_policy.h"

#include "agents/mail/net/network_prefix.h"
#include "common/log.h"

namespace prov::policy {
namespace {

// What one customer has: of IPv6, a /64 at least.
constexpr unsigned kAddressBits4 = 32, kAddressBits6 = 64;
constexpr unsigned kNetworkBits4 = 24, kNetworkBits6 = 48;

Verdict TooMuch(const Client& client, const char* of) {
  Log(Level::kInfo, "rate_limited", {{"of", of}, {"client", client.address}, {"login", client.login}});
  return {450, "4.7.1", "too much mail in the last hour, come again later"};
}

}  // namespace

RatePolicy::RatePolicy(const Rates& rates, const Clock& clock)
    : clock_(clock),
      addresses_(rates.messages_of_address),
      networks_(rates.messages_of_network),
      logins_(rates.recipients_of_login) {}

asio::awaitable<Verdict> RatePolicy::Mail(const Client& client, const Envelope&) {
  if (client.trusted) co_return Verdict{};
  const auto now = clock_.Monotonic();
  const std::string address = net::NetworkPrefix(client.address, kAddressBits4, kAddressBits6);
  const std::string network = net::NetworkPrefix(client.address, kNetworkBits4, kNetworkBits6);
  const std::lock_guard lock(mutex_);
  if (!addresses_.Has(address, 1, now)) co_return TooMuch(client, "address");
  // What a busy network is refused does not count against a quiet address in it.
  if (!networks_.Take(network, 1, now)) co_return TooMuch(client, "network");
  addresses_.Take(address, 1, now);
  co_return Verdict{};
}

asio::awaitable<Verdict> RatePolicy::Rcpt(const Client& client, const Envelope&, const Recipient&) {
  const std::lock_guard lock(mutex_);
  if (client.login.empty() || logins_.Take(client.login, 1, clock_.Monotonic())) co_return Verdict{};
  co_return TooMuch(client, "login");
}

}  // namespace prov::policy
