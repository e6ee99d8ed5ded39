#include "agents/mail/dns/mail_exchangers.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/mail_address.h"

namespace prov::dns {
namespace {

using asio::ip::address;

bool IsNull(const MailExchanger& exchanger) { return exchanger.host.empty(); }

// As names are compared: case does not matter, nor does the root's dot.
std::string FoldHost(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  return FoldAddress(host);
}

}  // namespace

ExchangerOrder OrderExchangers(std::vector<MailExchanger> exchangers, std::string_view domain,
                               std::string_view us, std::mt19937& random) {
  if (exchangers.empty()) exchangers.push_back({0, std::string(domain)});
  if (std::all_of(exchangers.begin(), exchangers.end(), IsNull)) {
    return {{}, fmt::format("556 5.1.10 {} takes no mail (RFC 7505)", domain)};
  }
  // A null MX beside others means nothing (RFC 7505 section 3).
  std::erase_if(exchangers, IsNull);
  for (MailExchanger& exchanger : exchangers) exchanger.host = FoldHost(exchanger.host);
  std::shuffle(exchangers.begin(), exchangers.end(), random);
  std::stable_sort(exchangers.begin(), exchangers.end(),
                   [](const auto& a, const auto& b) { return a.preference < b.preference; });
  const std::string ours = FoldHost(us);
  const auto own = std::find_if(exchangers.begin(), exchangers.end(),
                                [&ours](const MailExchanger& one) { return one.host == ours; });
  if (own != exchangers.end()) {
    const uint16_t limit = own->preference;
    std::erase_if(exchangers, [limit](const MailExchanger& one) { return one.preference >= limit; });
    if (exchangers.empty()) {
      return {{}, fmt::format("554 5.4.6 mail for {} loops: its best mail exchanger is this host", domain)};
    }
  }
  ExchangerOrder order;
  for (MailExchanger& exchanger : exchangers) {
    if (std::find(order.hosts.begin(), order.hosts.end(), exchanger.host) == order.hosts.end())
      order.hosts.push_back(std::move(exchanger.host));
  }
  return order;
}

std::vector<address> AlternateFamilies(const std::vector<address>& addresses, size_t most) {
  std::vector<address> by_family[2];
  for (const address& one : addresses) by_family[one.is_v6() ? 0 : 1].push_back(one);
  std::vector<address> result;
  for (size_t i = 0; i < addresses.size(); ++i) {
    for (const auto& family : by_family) {
      if (i < family.size() && result.size() < most) result.push_back(family[i]);
    }
  }
  return result;
}

}  // namespace prov::dns
