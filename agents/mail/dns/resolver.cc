#include "agents/mail/dns/resolver.h"

#include <ares.h>
#include <ares_nameser.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <asio/co_spawn.hpp>
#include <asio/use_awaitable.hpp>
#include <string_view>
#include <utility>

#include "agents/mail/dns/ares_channel.h"
#include "common/mail_address.h"
#include "common/status.h"

namespace prov::dns {
namespace {

using asio::ip::address;

// What we ask for: letters, digits, hyphens, and the underscore that some host names have. Anything else
// would be an escape to c-ares.
bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxDomainOctets &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                  c == '_' || c == '.';
         });
}

// OK stands for an answer without such records, too.
absl::Status StatusOf(int status, std::string_view name) {
  const std::string text = fmt::format("{}: {}", name, ares_strerror(status));
  switch (status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
      return absl::OkStatus();
    case ARES_ENOTFOUND:
      return absl::NotFoundError(fmt::format("{}: no such domain", name));
    case ARES_EBADNAME:
      return absl::InvalidArgumentError(text);
    default:
      return absl::UnavailableError(text);
  }
}

const unsigned char* Octets(const AresChannel::Answer& answer) {
  return reinterpret_cast<const unsigned char*>(answer.message.data());
}
int Length(const AresChannel::Answer& answer) { return static_cast<int>(answer.message.size()); }

absl::StatusOr<std::vector<MailExchanger>> ExchangersIn(const AresChannel::Answer& answer,
                                                        std::string_view name) {
  PROV_RETURN_IF_ERROR(StatusOf(answer.status, name));
  std::vector<MailExchanger> exchangers;
  if (answer.status != ARES_SUCCESS) return exchangers;
  ares_mx_reply* first = nullptr;
  PROV_RETURN_IF_ERROR(StatusOf(ares_parse_mx_reply(Octets(answer), Length(answer), &first), name));
  for (const ares_mx_reply* one = first; one != nullptr; one = one->next) {
    if (exchangers.size() == kMostExchangers) break;
    exchangers.push_back({one->priority, FoldAddress(one->host)});
  }
  ares_free_data(first);
  return exchangers;
}

absl::Status AppendV4(const AresChannel::Answer& answer, std::string_view name, std::vector<address>& found) {
  PROV_RETURN_IF_ERROR(StatusOf(answer.status, name));
  if (answer.status != ARES_SUCCESS) return absl::OkStatus();
  std::array<ares_addrttl, kMostAddresses> records;
  int count = records.size();
  PROV_RETURN_IF_ERROR(
      StatusOf(ares_parse_a_reply(Octets(answer), Length(answer), nullptr, records.data(), &count), name));
  for (int i = 0; i < count; ++i) {
    found.emplace_back(asio::ip::address_v4(ntohl(records[static_cast<size_t>(i)].ipaddr.s_addr)));
  }
  return absl::OkStatus();
}

absl::Status AppendV6(const AresChannel::Answer& answer, std::string_view name, std::vector<address>& found) {
  PROV_RETURN_IF_ERROR(StatusOf(answer.status, name));
  if (answer.status != ARES_SUCCESS) return absl::OkStatus();
  std::array<ares_addr6ttl, kMostAddresses> records;
  int count = records.size();
  PROV_RETURN_IF_ERROR(
      StatusOf(ares_parse_aaaa_reply(Octets(answer), Length(answer), nullptr, records.data(), &count), name));
  for (int i = 0; i < count; ++i) {
    asio::ip::address_v6::bytes_type octets;
    std::copy_n(records[static_cast<size_t>(i)].ip6addr._S6_un._S6_u8, octets.size(), octets.begin());
    found.emplace_back(asio::ip::address_v6(octets));
  }
  return absl::OkStatus();
}

class AresResolver final : public Resolver {
 public:
  AresResolver(asio::any_io_executor executor, std::unique_ptr<AresChannel> channel)
      : executor_(std::move(executor)), channel_(std::move(channel)) {}

  // The channel is its loop's own: the question goes there, and the answer comes back to who asked.
  asio::awaitable<absl::StatusOr<std::vector<MailExchanger>>> FindExchangers(std::string domain) override {
    co_return co_await asio::co_spawn(executor_, AskExchangers(std::move(domain)), asio::use_awaitable);
  }
  asio::awaitable<absl::StatusOr<std::vector<address>>> FindAddresses(std::string host) override {
    co_return co_await asio::co_spawn(executor_, AskAddresses(std::move(host)), asio::use_awaitable);
  }

 private:
  asio::awaitable<absl::StatusOr<std::vector<MailExchanger>>> AskExchangers(std::string domain) {
    if (!IsName(domain)) co_return absl::InvalidArgumentError("not a domain name");
    const AresChannel::Answer answer = co_await channel_->Ask(domain, ns_t_mx);
    co_return ExchangersIn(answer, domain);
  }

  asio::awaitable<absl::StatusOr<std::vector<address>>> AskAddresses(std::string host) {
    if (!IsName(host)) co_return absl::InvalidArgumentError("not a host name");
    std::vector<address> found;
    const AresChannel::Answer v6 = co_await channel_->Ask(host, ns_t_aaaa);
    const absl::Status of_v6 = AppendV6(v6, host, found);
    // There is no such name, whatever the type.
    if (absl::IsNotFound(of_v6)) co_return of_v6;
    const AresChannel::Answer v4 = co_await channel_->Ask(host, ns_t_a);
    const absl::Status of_v4 = AppendV4(v4, host, found);
    // One family is enough to go on with.
    if (found.empty() && !of_v4.ok()) co_return of_v4;
    if (found.empty() && !of_v6.ok()) co_return of_v6;
    co_return found;
  }

  const asio::any_io_executor executor_;
  const std::unique_ptr<AresChannel> channel_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Resolver>> MakeResolver(asio::any_io_executor executor,
                                                       const std::vector<std::string>& servers) {
  PROV_ASSIGN_OR_RETURN(auto channel, AresChannel::Open(executor, servers));
  return std::make_unique<AresResolver>(std::move(executor), std::move(channel));
}

}  // namespace prov::dns
