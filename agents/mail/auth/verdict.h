// What may come of a login attempt, told apart for the log; the client learns less.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "agents/mail/auth/secret.h"

namespace prov::auth {

enum class Outcome {
  kOk,
  kWrongOrUnknown,    // never told apart from the next two towards the client
  kNotAllowed,        // suspended or closed
  kNotEntitled,       // the password was right, the service is not theirs
  kTemporaryFailure,  // cannot be decided now; says nothing about the password
};

// snake_case, for logs and metrics.
std::string_view OutcomeName(Outcome outcome);

// Why, more finely: for the log and metrics alone.
enum class Cause {
  kRightPassword,
  kCached,
  kMalformed,  // no name or password that anybody can have
  kUnknown,    // no such login here, and no password was right
  kWrong,
  kSuspended,
  kClosed,
  kExpired,
  kNotEntitled,
  kNotHereYet,            // the directory knows the login, this host does not
  kDeferred,              // logins are to wait for this subscriber
  kStateUnreadable,       // of this host
  kDirectoryUnreachable,  // PAM could not decide
  kWorkerFailed,          // crashed, hung or talked nonsense
  kOverloaded,            // too many logins wait for PAM
};

// snake_case, for logs and metrics.
std::string_view CauseName(Cause cause);

struct Attempt {
  std::string service;  // PAM service: "prov-pop3"
  std::string login;    // as the client sent it
  Secret password;
  std::string remote_address;  // the client's, without port
  std::string session = {};    // names it in logs; empty: it has no name
};

struct Verdict {
  Outcome outcome = Outcome::kTemporaryFailure;
  std::string mailbox_id;  // with kOk; likewise:
  std::string plan;
  uint64_t credential_version = 0;  // what the login is good for until it changes
  bool from_cache = false;
  Cause cause = Cause::kWorkerFailed;
  std::string detail;  // for the log; holds no secret
  // A refusal must not be answered sooner than this after the attempt was handed over: it makes all reasons
  // take the same time, and grows with the failures of the client's network.
  std::chrono::milliseconds hold{0};
};

}  // namespace prov::auth
