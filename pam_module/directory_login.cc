#include "pam_module/directory_login.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "common/ldap/connection.h"
#include "common/ldap/dn.h"
#include "common/mail_address.h"
#include "common/status.h"

namespace prov::pam {
namespace {

using Clock = std::chrono::steady_clock;

// Which servers failed lately, for the whole process.
class DeadServers {
 public:
  bool IsDead(const std::string& uri) {
    const std::lock_guard lock(mutex_);
    const auto found = until_.find(uri);
    return found != until_.end() && Clock::now() < found->second;
  }
  void Failed(const std::string& uri, std::chrono::milliseconds rest) {
    const std::lock_guard lock(mutex_);
    until_[uri] = Clock::now() + rest;
  }
  void Answered(const std::string& uri) {
    const std::lock_guard lock(mutex_);
    until_.erase(uri);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Clock::time_point> until_;
};

DeadServers& Dead() {
  static DeadServers dead;
  return dead;
}

// As configured, but those that failed lately come last: with all of them dead, each is tried all the same.
std::vector<std::string> ServerOrder(const Config& config) {
  std::vector<std::string> order = config.uris;
  std::stable_partition(order.begin(), order.end(),
                        [](const std::string& uri) { return !Dead().IsDead(uri); });
  return order;
}

const std::string& FirstOf(const ldap::Entry& entry, const std::string& attribute) {
  static const std::string none;
  const auto found = entry.attributes.find(attribute);
  return found == entry.attributes.end() || found->second.empty() ? none : found->second.front();
}

bool Names(const ldap::Entry& entry, std::string_view service) {
  const auto found = entry.attributes.find("authorizedService");
  return found != entry.attributes.end() &&
         std::find(found->second.begin(), found->second.end(), service) != found->second.end();
}

absl::StatusOr<std::unique_ptr<ldap::Connection>> OpenAsService(const Config& config, const std::string& uri,
                                                                Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  if (left.count() <= 0) return absl::DeadlineExceededError("time is up");
  ldap::ConnectOptions options;
  options.uri = uri;
  options.ca = config.ca;
  options.starttls = config.starttls && uri.starts_with("ldap://");
  // Connection, search and bind: each may take a third of what is left, so that together they keep within it.
  options.connect_timeout = std::max(left / 3, std::chrono::milliseconds(1));
  options.operation_timeout = options.connect_timeout;
  PROV_ASSIGN_OR_RETURN(std::unique_ptr<ldap::Connection> connection, ldap::Connection::Open(options));
  PROV_RETURN_IF_ERROR(connection->Bind(config.bind_dn, config.bind_password));
  return connection;
}

absl::StatusOr<std::optional<ldap::Entry>> FindPerson(ldap::Connection& connection, const Config& config,
                                                      std::string_view login) {
  ldap::SearchRequest request{
      .base = "ou=people," + config.base,
      .scope = ldap::Scope::kOneLevel,
      .filter = ldap::Filter::And(
          {ldap::Filter::Equal("objectClass", "provSubscriber"), ldap::Filter::Equal("uid", login)}),
      .attributes = {"authorizedService", "provLoginState", "provCredentialVersion"},
      .size_limit = 2};
  PROV_ASSIGN_OR_RETURN(std::vector<ldap::Entry> found, connection.Search(request));
  if (found.size() > 1) return absl::InternalError("two entries have the same login");
  if (found.empty()) return std::optional<ldap::Entry>();
  return std::optional<ldap::Entry>(std::move(found.front()));
}

Standing StandingOf(const std::optional<ldap::Entry>& entry, std::string_view service) {
  if (!entry) return Standing::kUnknown;
  const std::string& state = FirstOf(*entry, "provLoginState");
  if (state == "suspended") return Standing::kSuspended;
  if (state == "no-password") return Standing::kWrong;
  return Names(*entry, service) ? Standing::kAllowed : Standing::kNotEntitled;
}

// One attempt with one server. An error: it could not decide, try the next.
absl::StatusOr<LoginResult> TryServer(const Config& config, const std::string& uri,
                                      Clock::time_point deadline, std::string_view service,
                                      std::string_view login, const std::string* password) {
  PROV_ASSIGN_OR_RETURN(const auto connection, OpenAsService(config, uri, deadline));
  PROV_ASSIGN_OR_RETURN(const std::optional<ldap::Entry> entry, FindPerson(*connection, config, login));
  LoginResult result;
  result.standing = StandingOf(entry, service);
  if (entry) result.credential_version = FirstOf(*entry, "provCredentialVersion");
  if (password == nullptr) return result;
  // Who cannot get in is verified against an account that refuses everybody, for it takes as long. Not
  // entitled: the password is still verified, so that the log tells a wrong one from a missing right.
  const bool verifiable = result.standing == Standing::kAllowed || result.standing == Standing::kNotEntitled;
  const std::string dn = verifiable ? entry->dn : ldap::ChildDn("cn", "absent", "ou=services," + config.base);
  const absl::Status bound = connection->Bind(dn, *password);
  // Only a refusal says something about the password.
  if (!bound.ok() && !absl::IsUnauthenticated(bound) && !absl::IsPermissionDenied(bound)) return bound;
  if (!bound.ok() && verifiable) result.standing = Standing::kWrong;
  return result;
}

LoginResult AskServers(const Config& config, std::string_view service, std::string_view login,
                       const std::string* password) {
  LoginResult result;
  // A name that provd could not have given out is not asked for: nothing in it can mean anything to LDAP.
  const absl::StatusOr<MailAddress> address = ParseHostedAddress(login);
  if (!address.ok()) {
    result.standing = Standing::kUnknown;
    return result;
  }
  const auto deadline = Clock::now() + config.timeout;
  const std::string name = address->ToString();
  for (const std::string& uri : ServerOrder(config)) {
    absl::StatusOr<LoginResult> answer = TryServer(config, uri, deadline, service, name, password);
    if (answer.ok()) {
      Dead().Answered(uri);
      return *answer;
    }
    Dead().Failed(uri, config.dead_for);
    result.cause +=
        fmt::format("{}{}: {}", result.cause.empty() ? "" : "; ", uri, MessageOf(answer.status()));
    if (Clock::now() >= deadline) break;
  }
  return result;
}

}  // namespace

LoginResult LogIn(const Config& config, std::string_view service, std::string_view login,
                  const std::string& password) {
  if (password.empty() || password.find('\0') != std::string::npos) {
    // RFC 4513 section 5.1.2: a bind without a password binds nobody, and succeeds.
    LoginResult result;
    result.standing = Standing::kWrong;
    return result;
  }
  return AskServers(config, service, login, &password);
}

LoginResult CheckAccount(const Config& config, std::string_view service, std::string_view login) {
  return AskServers(config, service, login, nullptr);
}

}  // namespace prov::pam
