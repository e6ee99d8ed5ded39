#include "pam_module/directory_login.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>

#include "common/ldap/connection.h"
#include "common/ldap/dn.h"
#include "pam_module/login_name.h"

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
  // Half of the rest is by chance, so that a server that comes back is not met by everybody at once.
  void Failed(const std::string& uri, std::chrono::milliseconds rest) {
    const std::lock_guard lock(mutex_);
    std::uniform_int_distribution<int64_t> chance(rest.count() / 2, rest.count());
    until_[uri] = Clock::now() + std::chrono::milliseconds(chance(random_));
  }
  void Answered(const std::string& uri) {
    const std::lock_guard lock(mutex_);
    until_.erase(uri);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Clock::time_point> until_;
  std::minstd_rand random_{std::random_device{}()};
};

DeadServers& Dead() {
  static auto* const dead = new DeadServers;  // lives for ever: threads may outlive static destruction
  return *dead;
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
  auto connection = ldap::Connection::Open(options);
  if (!connection.ok()) return connection.status();
  if (absl::Status bound = (*connection)->Bind(config.bind_dn, config.bind_password); !bound.ok())
    return bound;
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
  absl::StatusOr<std::vector<ldap::Entry>> found = connection.Search(request);
  if (!found.ok()) return found.status();
  if (found->size() > 1) return absl::InternalError("two entries have the same login");
  if (found->empty()) return std::optional<ldap::Entry>();
  return std::optional<ldap::Entry>(std::move(found->front()));
}

// Only "allowed" lets anybody in, for only then is the password asked about. A state that an access rule
// hides, or of a newer provd, decides nothing.
absl::StatusOr<Standing> StandingOf(const std::optional<ldap::Entry>& entry, std::string_view service) {
  if (!entry) return Standing::kUnknown;
  const std::string& state = FirstOf(*entry, "provLoginState");
  if (state == "suspended") return Standing::kSuspended;
  if (state == "no-password") return Standing::kWrong;
  if (state == "no-entitlement") return Standing::kNotEntitled;
  if (state != "allowed") {
    return absl::UnavailableError(fmt::format(
        "{} has provLoginState {:?}, which is none that is known; may we read it?", entry->dn, state));
  }
  return Names(*entry, service) ? Standing::kAllowed : Standing::kNotEntitled;
}

// One attempt with one server. An error: it could not decide, try the next.
absl::StatusOr<LoginResult> TryServer(const Config& config, const std::string& uri,
                                      Clock::time_point deadline, std::string_view service,
                                      std::string_view login, const std::string* password) {
  const auto connection = OpenAsService(config, uri, deadline);
  if (!connection.ok()) return connection.status();
  const absl::StatusOr<std::optional<ldap::Entry>> found = FindPerson(**connection, config, login);
  if (!found.ok()) return found.status();
  const std::optional<ldap::Entry>& entry = *found;
  LoginResult result;
  const absl::StatusOr<Standing> standing = StandingOf(entry, service);
  if (!standing.ok()) return standing.status();
  result.standing = *standing;
  if (entry) result.credential_version = FirstOf(*entry, "provCredentialVersion");
  if (password == nullptr) return result;
  // Who has no password there is verified against an account that refuses everybody, for it takes as long.
  // Who has one but not the service is verified all the same, so that the log tells a wrong password from a
  // missing right.
  const bool verifiable = entry && FirstOf(*entry, "provLoginState") == "allowed";
  const std::string dn = verifiable ? entry->dn : ldap::ChildDn("cn", "absent", "ou=services," + config.base);
  const absl::Status bound = (*connection)->Bind(dn, *password);
  // Only a refusal says something about the password.
  if (!bound.ok() && !absl::IsUnauthenticated(bound)) return bound;
  if (!bound.ok() && verifiable) result.standing = Standing::kWrong;
  return result;
}

LoginResult AskServers(const Config& config, std::string_view service, std::string_view login,
                       const std::string* password) {
  LoginResult result;
  // A name that provd could not have given out is not asked for: nothing in it can mean anything to LDAP.
  const std::optional<std::string> name = LoginName(login);
  if (!name.has_value()) {
    result.standing = Standing::kNoName;
    return result;
  }
  const auto deadline = Clock::now() + config.timeout;
  for (const std::string& uri : ServerOrder(config)) {
    absl::StatusOr<LoginResult> answer = TryServer(config, uri, deadline, service, *name, password);
    if (answer.ok()) {
      Dead().Answered(uri);
      return *answer;
    }
    Dead().Failed(uri, config.dead_for);
    result.cause +=
        fmt::format("{}{}", result.cause.empty() ? "" : "; ", std::string(answer.status().message()));
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
