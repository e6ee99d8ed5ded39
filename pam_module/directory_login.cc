#include "pam_module/directory_login.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "common/ldap/connection.h"
#include "common/ldap/dn.h"
#include "pam_module/login_name.h"
#include "pam_module/process_memory.h"
#include "pam_module/servers.h"

namespace prov::pam {
namespace {

using Clock = std::chrono::steady_clock;

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

// One server during one login: who asks, and who verifies.
class Server {
 public:
  Server(const Config& config, const std::string& uri, Clock::time_point deadline, bool keeps)
      : config_(config), uri_(uri), deadline_(deadline), keeps_(keeps) {}

  absl::StatusOr<ldap::Connection*> Asker() {
    ConnectionUse use = ServerUse(config_, uri_);
    use.bind_dn = config_.bind_dn;
    use.bind_password = config_.bind_password;
    asker_ = TakeKept(use);
    if (asker_ != nullptr) return asker_.get();
    absl::StatusOr<std::unique_ptr<ldap::Connection>> opened = OpenServer(config_, uri_, deadline_);
    if (!opened.ok()) return opened.status();
    if (absl::Status bound = (*opened)->Bind(config_.bind_dn, config_.bind_password); !bound.ok())
      return bound;
    asker_ = *std::move(opened);
    return asker_.get();
  }

  // Verifying ends who a connection was. Where none is kept, the one that asked has done its work.
  absl::Status Verify(const std::string& dn, const std::string& password) {
    verifier_ = TakeKept(ServerUse(config_, uri_));
    if (verifier_ == nullptr && !keeps_) verifier_ = std::move(asker_);
    if (verifier_ == nullptr) {
      absl::StatusOr<std::unique_ptr<ldap::Connection>> opened = OpenServer(config_, uri_, deadline_);
      if (!opened.ok()) return opened.status();
      verifier_ = *std::move(opened);
    }
    return verifier_->Bind(dn, password);
  }

  // For the next login. To be called only when all was answered.
  void Keep() {
    if (!keeps_) return;
    ConnectionUse use = ServerUse(config_, uri_);
    if (verifier_ != nullptr) ProcessMemory::Own().Keep(use, std::move(verifier_));
    use.bind_dn = config_.bind_dn;
    use.bind_password = config_.bind_password;
    if (asker_ != nullptr) ProcessMemory::Own().Keep(std::move(use), std::move(asker_));
  }

  bool used_kept() const { return used_kept_; }

 private:
  std::unique_ptr<ldap::Connection> TakeKept(const ConnectionUse& use) {
    if (!keeps_) return nullptr;
    std::unique_ptr<ldap::Connection> connection = ProcessMemory::Own().Take(use);
    if (connection == nullptr) return nullptr;
    used_kept_ = true;
    connection->EndBy(deadline_);
    return connection;
  }

  const Config& config_;
  const std::string& uri_;
  const Clock::time_point deadline_;
  const bool keeps_;
  bool used_kept_ = false;
  std::unique_ptr<ldap::Connection> asker_, verifier_;
};

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

// What is asked, of whichever server.
struct Question {
  std::string_view service;
  std::string_view login;
  const std::string* password;  // null: only about the account
};

absl::StatusOr<LoginResult> Ask(const Config& config, Server& server, const Question& question) {
  const absl::StatusOr<ldap::Connection*> asker = server.Asker();
  if (!asker.ok()) return asker.status();
  const absl::StatusOr<std::optional<ldap::Entry>> found = FindPerson(**asker, config, question.login);
  if (!found.ok()) return found.status();
  const std::optional<ldap::Entry>& entry = *found;
  LoginResult result;
  const absl::StatusOr<Standing> standing = StandingOf(entry, question.service);
  if (!standing.ok()) return standing.status();
  result.standing = *standing;
  if (entry) result.credential_version = FirstOf(*entry, "provCredentialVersion");
  if (question.password != nullptr) {
    // Who has no password there is verified against an account that refuses everybody, for it takes as long.
    // Who has one but not the service is verified all the same, so that the log tells a wrong password from a
    // missing right.
    const bool verifiable = entry && FirstOf(*entry, "provLoginState") == "allowed";
    const std::string dn =
        verifiable ? entry->dn : ldap::ChildDn("cn", "absent", "ou=services," + config.base);
    const absl::Status bound = server.Verify(dn, *question.password);
    // Only a refusal says something about the password.
    if (!bound.ok() && !absl::IsUnauthenticated(bound)) return bound;
    result.verified = bound.ok() && verifiable;
    if (!bound.ok() && verifiable) result.standing = Standing::kWrong;
  }
  server.Keep();
  return result;
}

// One server. An error: it could not decide, try the next.
absl::StatusOr<LoginResult> TryServer(const Config& config, const std::string& uri,
                                      Clock::time_point deadline, bool keeps, const Question& question) {
  for (;;) {
    Server server(config, uri, deadline, keeps);
    absl::StatusOr<LoginResult> answer = Ask(config, server, question);
    // A kept connection may have died while it waited: that says nothing of the server. There are only so
    // many.
    if (answer.ok() || !server.used_kept() || Clock::now() >= deadline) return answer;
  }
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
  ProcessMemory& memory = ProcessMemory::Own();
  const auto deadline = Clock::now() + config.timeout;
  const bool keeps = memory.BeginLogin();
  for (const std::string& uri : ServerOrder(config)) {
    absl::StatusOr<LoginResult> answer = TryServer(config, uri, deadline, keeps, {service, *name, password});
    if (answer.ok()) {
      memory.Answered(uri);
      return *answer;
    }
    memory.Failed(uri, config.dead_for);
    result.cause +=
        fmt::format("{}{}", result.cause.empty() ? "" : "; ", std::string(answer.status().message()));
    if (Clock::now() >= deadline) break;
  }
  return result;
}

}  // namespace

const char* StandingName(Standing standing) {
  switch (standing) {
    case Standing::kAllowed:
      return "allowed";
    case Standing::kNoName:
      return "no login name";
    case Standing::kUnknown:
      return "unknown";
    case Standing::kWrong:
      return "wrong password";
    case Standing::kSuspended:
      return "suspended";
    case Standing::kNotEntitled:
      return "not entitled";
    case Standing::kUnavailable:
      return "directory unavailable";
  }
  return "unknown";
}

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
