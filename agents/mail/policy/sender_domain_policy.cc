#include "agents/mail/policy/sender_domain_policy.h"

#include <algorithm>
#include <asio/ip/address.hpp>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/mail_address.h"
#include "common/status.h"

namespace prov::policy {
namespace {

const Verdict kNoMail = {550, "5.1.8",
                         "the sender's domain takes no mail: it has neither an MX nor an address"};
const Verdict kNullMx = {550, "5.7.27", "the sender's domain takes no mail: it has a null MX"};  // RFC 7505
const Verdict kCannotSay = {451, "4.4.3", "the sender's domain cannot be looked up now, come again"};

}  // namespace

asio::awaitable<Verdict> SenderDomainPolicy::Judge(std::string domain) {
  const absl::StatusOr<std::vector<dns::MailExchanger>> exchangers =
      co_await resolver_.FindExchangers(domain);
  if (absl::IsUnavailable(exchangers.status())) co_return kCannotSay;
  if (!exchangers.ok()) co_return kNoMail;
  if (!exchangers->empty()) {
    const bool null = std::all_of(exchangers->begin(), exchangers->end(),
                                  [](const dns::MailExchanger& one) { return one.host.empty(); });
    co_return null ? kNullMx : Verdict{};
  }
  const absl::StatusOr<std::vector<asio::ip::address>> addresses = co_await resolver_.FindAddresses(domain);
  if (absl::IsUnavailable(addresses.status())) co_return kCannotSay;
  co_return addresses.ok() && !addresses->empty() ? Verdict{} : kNoMail;
}

asio::awaitable<Verdict> SenderDomainPolicy::Mail(const Client& client, const Envelope& envelope) {
  const size_t at = envelope.sender.rfind('@');
  if (client.trusted || !client.login.empty() || at == envelope.sender.npos) co_return Verdict{};
  std::string domain = envelope.sender.substr(at + 1);
  if (domain.starts_with('[')) co_return Verdict{};  // an address literal is an address
  if (std::any_of(domain.begin(), domain.end(), [](unsigned char c) { return c > 0x7f; })) {
    absl::StatusOr<std::string> labels = NormaliseDomain(domain);
    if (!labels.ok()) co_return kNoMail;
    domain = *std::move(labels);
  }
  Verdict verdict = co_await Judge(std::move(domain));
  if (!verdict.go_on()) {
    Log(Level::kInfo, "sender_domain_refused",
        {{"trace", envelope.trace},
         {"client", client.address},
         {"sender", envelope.sender},
         {"code", verdict.code}});
  }
  co_return verdict;
}

}  // namespace prov::policy
