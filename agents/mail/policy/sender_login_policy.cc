#include "agents/mail/policy/sender_login_policy.h"

#include "common/log.h"
#include "common/status.h"

namespace prov::policy {
namespace {

const Verdict kUndecided = {451, "4.3.0", "cannot be decided now, come again"};

Verdict Undecided(const Client& client, const absl::Status& error) {
  Log(Level::kWarning, "sender_undecided", {{"login", client.login}, {"error", error}});
  return kUndecided;
}

}  // namespace

Verdict SenderLoginPolicy::Judge(const Client& client, const std::string& sender) const {
  const absl::StatusOr<v1::MailRoute> route = state_.FindMailRoute(client.login);
  if (!route.ok() && !absl::IsNotFound(route.status())) return Undecided(client, route.status());
  const bool same = route.ok() && route->login() == client.login &&
                    route->credential_version() == client.credential_version;
  if (same && route->submit() == v1::TEMPFAIL) return kUndecided;
  if (!same || route->submit() != v1::ALLOW) return {530, "5.7.0", "log in again", true};
  if (sender.empty()) return {};
  // Quotes and address literals are other ways to write an address; none of ours needs them.
  if (sender.find_first_of("\"[") == sender.npos) {
    const absl::StatusOr<bool> own = router_.IsAddressOf(client.login, sender);
    if (!own.ok()) return Undecided(client, own.status());
    if (*own) return {};
  }
  return {553, "5.7.1", "the sender is no address of this login"};
}

asio::awaitable<Verdict> SenderLoginPolicy::Mail(const Client& client, const Envelope& envelope) {
  if (client.login.empty()) co_return Verdict{};
  co_return Judge(client, envelope.sender);
}

}  // namespace prov::policy
