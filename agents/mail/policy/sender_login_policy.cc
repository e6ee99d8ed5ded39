#include "agents/mail/policy/sender_login_policy.h"

#include "common/log.h"

namespace prov::policy {

asio::awaitable<Verdict> SenderLoginPolicy::Mail(const Client& client, const Envelope& envelope) {
  if (client.login.empty() || envelope.sender.empty()) co_return Verdict{};
  const absl::StatusOr<bool> own = co_await net::RunBlocking(
      pool_, [this, &client, &envelope] { return router_.IsAddressOf(client.login, envelope.sender); });
  if (!own.ok()) {
    Log(Level::kWarning, "sender_undecided", {{"login", client.login}, {"error", own.status()}});
    co_return Verdict{451, "4.3.0", "cannot be decided now, come again"};
  }
  if (*own) co_return Verdict{};
  co_return Verdict{553, "5.7.1", "the sender is no address of this login"};
}

}  // namespace prov::policy
