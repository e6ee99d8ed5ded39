#include "agents/mail/auth/authenticator.h"

#include <fmt/format.h>

#include <utility>

#include "agents/mail/auth/credential_cache.h"
#include "agents/mail/auth/failure_delay.h"
#include "agents/mail/auth/login_metrics.h"
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
  Outcome refusal = Outcome::kOk;  // kOk: none; likewise:
  Cause cause = Cause::kUnknown;
  std::string detail;
  LoginRecord record;
};

Standing StandingOf(const FindLogin& find, const std::string& login) {
  Standing standing;
  auto record = find(login);
  if (absl::IsNotFound(record.status())) return standing;
  if (!record.ok()) {
    standing.refusal = Outcome::kTemporaryFailure;
    standing.cause = Cause::kStateUnreadable;
    standing.detail = record.status().ToString();
    return standing;
  }
  standing.known = true;
  standing.record = *std::move(record);
  if (standing.record.use == v1::TEMPFAIL) {
    standing.refusal = Outcome::kTemporaryFailure;
    standing.cause = Cause::kDeferred;
  } else if (standing.record.closed || standing.record.use != v1::ALLOW) {
    standing.refusal = Outcome::kNotAllowed;
    standing.cause = standing.record.closed ? Cause::kClosed : Cause::kSuspended;
  }
  return standing;
}

// How an attempt ended.
struct End {
  Outcome outcome;
  Cause cause;
  std::string detail;
};

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
      return Finish(attempt, {Outcome::kWrongOrUnknown, Cause::kMalformed, "too long, empty or with NUL"},
                    done);
    }
    attempt.login = FoldAddress(attempt.login);
    Standing standing = StandingOf(find_, attempt.login);
    if (standing.refusal != Outcome::kOk) {
      return Finish(attempt, {standing.refusal, standing.cause, standing.detail}, done);
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
    if (!reply.ok()) return Finish(attempt, EndOf(reply.status()), done);
    switch (reply->verdict) {
      case PamVerdict::kWrongOrUnknown:
        return Finish(attempt,
                      {Outcome::kWrongOrUnknown, before.known ? Cause::kWrong : Cause::kUnknown, reply->text},
                      done);
      case PamVerdict::kNotAllowed:
        return Finish(attempt, {Outcome::kNotEntitled, Cause::kNotEntitled, reply->text}, done);
      case PamVerdict::kExpired:
        return Finish(attempt, {Outcome::kNotAllowed, Cause::kExpired, reply->text}, done);
      case PamVerdict::kUnavailable:
        return Finish(attempt, {Outcome::kTemporaryFailure, Cause::kDirectoryUnreachable, reply->text}, done);
      case PamVerdict::kOk:
        return OnAccepted(attempt, before, *reply, done);
    }
  }

  // Of a worker that has not decided. Only what cannot be sent to one says something about the password.
  static End EndOf(const absl::Status& status) {
    if (absl::IsInvalidArgument(status))
      return {Outcome::kWrongOrUnknown, Cause::kMalformed, status.ToString()};
    const Cause cause = absl::IsResourceExhausted(status) ? Cause::kOverloaded : Cause::kWorkerFailed;
    return {Outcome::kTemporaryFailure, cause, status.ToString()};
  }

  void OnAccepted(const Attempt& attempt, const Standing& before, const WorkerReply& reply,
                  const Done& done) {
    // The state may have changed while PAM was asked: a suspension must not be overtaken by its last login.
    const Standing now = StandingOf(find_, attempt.login);
    if (now.refusal != Outcome::kOk) return Finish(attempt, {now.refusal, now.cause, now.detail}, done);
    if (!now.known) {
      // The directory knows more than this host as yet.
      return Finish(attempt, {Outcome::kTemporaryFailure, Cause::kNotHereYet, ""}, done);
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
    Verdict verdict;
    verdict.mailbox_id = standing.record.mailbox_id;
    verdict.plan = standing.record.plan;
    verdict.credential_version = standing.record.credential_version;
    verdict.from_cache = from_cache;
    Tell(attempt, {Outcome::kOk, from_cache ? Cause::kCached : Cause::kRightPassword, ""}, std::move(verdict),
         done);
  }

  void Finish(const Attempt& attempt, End end, const Done& done) {
    Verdict verdict;
    if (end.outcome != Outcome::kTemporaryFailure) verdict.hold = delay_.AfterFailure(attempt.remote_address);
    Tell(attempt, std::move(end), std::move(verdict), done);
  }

  static void Tell(const Attempt& attempt, End end, Verdict verdict, const Done& done) {
    CountLogin(attempt.service, end.outcome, end.cause);
    Log(Level::kInfo, "login",
        {{"service", attempt.service},
         {"login", std::string_view(attempt.login).substr(0, kMaxLoginOctets)},
         {"remote", attempt.remote_address},
         {"session", attempt.session},
         {"outcome", OutcomeName(end.outcome)},
         {"cause", CauseName(end.cause)},
         {"cached", verdict.from_cache ? "yes" : "no"},
         {"detail", end.detail}});
    verdict.outcome = end.outcome;
    verdict.cause = end.cause;
    verdict.detail = std::move(end.detail);
    done(std::move(verdict));
  }

  const FindLogin find_;
  CredentialCache cache_;
  FailureDelay delay_;
  std::unique_ptr<WorkerPool> pool_;  // last: its threads use what is above
};

}  // namespace

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
