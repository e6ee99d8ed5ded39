#include "agents/mail/auth/authenticator.h"

#include <fmt/format.h>

#include <utility>

#include "agents/mail/auth/credential_cache.h"
#include "agents/mail/auth/failure_delay.h"
#include "agents/mail/auth/worker_pool.h"
#include "common/log.h"
#include "common/mail_address.h"
#include "common/status.h"

namespace prov::auth {
namespace {

constexpr size_t kMaxLoginOctets = kMaxAddressOctets;
constexpr size_t kMaxPasswordOctets = 512;

// What the host's state says of a login, before any password is looked at.
struct Standing {
  bool known = false;
  Outcome refusal = Outcome::kOk;  // kOk: none
  std::string detail;
  LoginRecord record;
};

Standing StandingOf(const FindLogin& find, const std::string& login) {
  Standing standing;
  auto record = find(login);
  if (absl::IsNotFound(record.status())) return standing;
  if (!record.ok()) {
    standing.refusal = Outcome::kTemporaryFailure;
    standing.detail = record.status().ToString();
    return standing;
  }
  standing.known = true;
  standing.record = *std::move(record);
  if (standing.record.use == v1::TEMPFAIL) {
    standing.refusal = Outcome::kTemporaryFailure;
    standing.detail = "login is deferred for this subscriber";
  } else if (standing.record.closed || standing.record.use != v1::ALLOW) {
    standing.refusal = Outcome::kNotAllowed;
    standing.detail = standing.record.closed ? "closed" : "suspended";
  }
  return standing;
}

// Too long, or with a NUL (PAM's strings end there): refused without a look.
bool IsPlausible(const Attempt& attempt) {
  const std::string_view password = attempt.password.Reveal();
  return !attempt.login.empty() && attempt.login.size() <= kMaxLoginOctets && !password.empty() &&
         password.size() <= kMaxPasswordOctets && attempt.login.find('\0') == std::string::npos &&
         password.find('\0') == std::string_view::npos;
}

class PamAuthenticator : public Authenticator {
 public:
  PamAuthenticator(WorkerPool::Options options, FindLogin find, const Clock& clock)
      : find_(std::move(find)), cache_(clock), delay_(clock), pool_(WorkerPool::Start(std::move(options))) {}

  void Authenticate(Attempt attempt, Done done) override {
    if (!IsPlausible(attempt)) {
      return Finish(attempt, Outcome::kWrongOrUnknown, "too long, empty or with NUL", done);
    }
    attempt.login = FoldAddress(attempt.login);
    Standing standing = StandingOf(find_, attempt.login);
    if (standing.refusal != Outcome::kOk) {
      return Finish(attempt, standing.refusal, standing.detail, done);
    }
    if (standing.known && cache_.Contains(attempt.service, attempt.login, attempt.password.Reveal(),
                                          standing.record.credential_version)) {
      return Accept(attempt, standing, true, done);
    }
    AskPam(std::move(attempt), std::move(standing), std::move(done));
  }

 private:
  // An unknown login goes there too, so that it costs what a wrong password costs.
  void AskPam(Attempt attempt, Standing standing, Done done) {
    WorkerRequest request{attempt.service, attempt.login, Secret(attempt.password.Reveal()),
                          attempt.remote_address};
    // std::function wants what it holds to be copyable; an Attempt is not.
    auto shared = std::make_shared<std::pair<Attempt, Standing>>(std::move(attempt), std::move(standing));
    pool_->Submit(std::move(request), [this, shared, done](absl::StatusOr<WorkerReply> reply) {
      OnReply(shared->first, shared->second, std::move(reply), done);
    });
  }

  void OnReply(const Attempt& attempt, const Standing& before, absl::StatusOr<WorkerReply> reply,
               const Done& done) {
    if (absl::IsInvalidArgument(reply.status())) {
      return Finish(attempt, Outcome::kWrongOrUnknown, reply.status().ToString(), done);
    }
    if (!reply.ok()) return Finish(attempt, Outcome::kTemporaryFailure, reply.status().ToString(), done);
    switch (reply->verdict) {
      case PamVerdict::kWrongOrUnknown:
        return Finish(attempt, Outcome::kWrongOrUnknown,
                      fmt::format("{}{}", before.known ? "" : "unknown here; ", reply->text), done);
      case PamVerdict::kNotAllowed:
        return Finish(attempt, Outcome::kNotEntitled, reply->text, done);
      case PamVerdict::kUnavailable:
        return Finish(attempt, Outcome::kTemporaryFailure, reply->text, done);
      case PamVerdict::kOk:
        return OnAccepted(attempt, before, *reply, done);
    }
  }

  void OnAccepted(const Attempt& attempt, const Standing& before, const WorkerReply& reply,
                  const Done& done) {
    // The state may have changed while PAM was asked: a suspension must not be overtaken by its last login.
    const Standing now = StandingOf(find_, attempt.login);
    if (now.refusal != Outcome::kOk) return Finish(attempt, now.refusal, now.detail, done);
    if (!now.known) {
      // The directory knows more than this host as yet.
      return Finish(attempt, Outcome::kTemporaryFailure, "right password, but not known here yet", done);
    }
    const uint64_t version = now.record.credential_version;
    const bool unchanged = before.known && before.record.credential_version == version;
    // The directory may lag behind this host: an old password would be kept under the new version.
    const bool same_as_directory =
        reply.credential_version.empty() || reply.credential_version == fmt::format("{}", version);
    if (unchanged && same_as_directory) {
      cache_.Add(attempt.service, attempt.login, attempt.password.Reveal(), version);
    }
    Accept(attempt, now, false, done);
  }

  void Accept(const Attempt& attempt, const Standing& standing, bool from_cache, const Done& done) {
    Log(Level::kInfo, "login",
        {{"service", attempt.service},
         {"login", attempt.login},
         {"remote", attempt.remote_address},
         {"session", attempt.session},
         {"outcome", OutcomeName(Outcome::kOk)},
         {"cached", from_cache ? "yes" : "no"}});
    Verdict verdict;
    verdict.outcome = Outcome::kOk;
    verdict.mailbox_id = standing.record.mailbox_id;
    verdict.plan = standing.record.plan;
    verdict.credential_version = standing.record.credential_version;
    verdict.from_cache = from_cache;
    done(std::move(verdict));
  }

  void Finish(const Attempt& attempt, Outcome outcome, std::string detail, const Done& done) {
    Log(Level::kInfo, "login",
        {{"service", attempt.service},
         {"login", std::string_view(attempt.login).substr(0, kMaxLoginOctets)},
         {"remote", attempt.remote_address},
         {"session", attempt.session},
         {"outcome", OutcomeName(outcome)},
         {"detail", detail}});
    Verdict verdict;
    verdict.outcome = outcome;
    verdict.detail = std::move(detail);
    if (outcome != Outcome::kTemporaryFailure) verdict.hold = delay_.AfterFailure(attempt.remote_address);
    done(std::move(verdict));
  }

  const FindLogin find_;
  CredentialCache cache_;
  FailureDelay delay_;
  std::unique_ptr<WorkerPool> pool_;  // last: its threads use what is above
};

}  // namespace

std::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk:
      return "ok";
    case Outcome::kWrongOrUnknown:
      return "wrong_or_unknown";
    case Outcome::kNotAllowed:
      return "not_allowed";
    case Outcome::kNotEntitled:
      return "not_entitled";
    case Outcome::kTemporaryFailure:
      return "temporary_failure";
  }
  return "temporary_failure";
}

std::unique_ptr<Authenticator> Authenticator::Start(const AgentConfig::Engine::Pam& pam, FindLogin find,
                                                    const Clock& clock) {
  WorkerPool::Options options;
  options.program = pam.worker_program;
  options.config_directory = pam.config_directory;
  if (pam.workers != 0) options.workers = pam.workers;
  if (pam.timeout.count() > 0) options.timeout = pam.timeout;
  return std::make_unique<PamAuthenticator>(std::move(options), std::move(find), clock);
}

}  // namespace prov::auth
