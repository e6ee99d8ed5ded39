// Whether a login may go on: the host's state first, then credentials seen before, then PAM.
//
// The state decides who may log in at all, so a suspension ends logins at once, whatever PAM or the cache
// would say. With the directory away, credentials that are cached go on, and all others are deferred (I5).
#pragma once

#include <functional>
#include <memory>

#include "agents/config.h"
#include "agents/mail/auth/login_record.h"
#include "agents/mail/auth/verdict.h"
#include "common/clock.h"

namespace prov::auth {

// Thread-safe.
class Authenticator {
 public:
  using Done = std::function<void(Verdict)>;

  // Starts the PAM workers. What `find` refers to and `clock` outlive the authenticator.
  static std::unique_ptr<Authenticator> Start(const AgentConfig::Engine::Pam& pam, FindLogin find,
                                              const Clock& clock = SystemClock());
  // What is under way ends in kTemporaryFailure.
  virtual ~Authenticator() = default;

  // `done` is called once, on the caller's or on another thread; it must not block. Logs and counts the
  // outcome.
  virtual void Authenticate(Attempt attempt, Done done) = 0;
};

}  // namespace prov::auth
