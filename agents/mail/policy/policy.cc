#include "agents/mail/policy/policy.h"

#include <asio/use_awaitable.hpp>

namespace prov::policy {
namespace {

using Answer = asio::awaitable<Verdict>;

// The first refusal of `policies`, each asked by `ask`.
template <typename Ask>
Answer First(const std::vector<Policy*>& policies, Ask ask) {
  for (Policy* policy : policies) {
    Verdict verdict = co_await ask(*policy);
    if (!verdict.go_on()) co_return verdict;
  }
  co_return Verdict{};
}

}  // namespace

Answer Policy::Connect(const Client&) { co_return Verdict{}; }
Answer Policy::Hello(const Client&) { co_return Verdict{}; }
Answer Policy::Mail(const Client&, const Envelope&) { co_return Verdict{}; }
Answer Policy::Rcpt(const Client&, const Envelope&, const Recipient&) { co_return Verdict{}; }
Answer Policy::HeaderEnd(const Client&, const Envelope&, const Header&) { co_return Verdict{}; }
Answer Policy::MessageEnd(const Client&, const Envelope&, uint64_t) { co_return Verdict{}; }

Answer Chain::Connect(const Client& client) {
  return First(policies_, [&client](Policy& policy) { return policy.Connect(client); });
}
Answer Chain::Hello(const Client& client) {
  return First(policies_, [&client](Policy& policy) { return policy.Hello(client); });
}
Answer Chain::Mail(const Client& client, const Envelope& envelope) {
  return First(policies_, [&client, &envelope](Policy& policy) { return policy.Mail(client, envelope); });
}
Answer Chain::Rcpt(const Client& client, const Envelope& envelope, const Recipient& recipient) {
  return First(policies_, [&client, &envelope, &recipient](Policy& policy) {
    return policy.Rcpt(client, envelope, recipient);
  });
}
Answer Chain::HeaderEnd(const Client& client, const Envelope& envelope, const Header& header) {
  return First(policies_, [&client, &envelope, &header](Policy& policy) {
    return policy.HeaderEnd(client, envelope, header);
  });
}
Answer Chain::MessageEnd(const Client& client, const Envelope& envelope, uint64_t octets) {
  return First(policies_, [&client, &envelope, octets](Policy& policy) {
    return policy.MessageEnd(client, envelope, octets);
  });
}

}  // namespace prov::policy
