#include "agents/mail/auth/verdict.h"

namespace prov::auth {

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

std::string_view CauseName(Cause cause) {
  switch (cause) {
    case Cause::kRightPassword:
      return "right_password";
    case Cause::kCached:
      return "cached";
    case Cause::kMalformed:
      return "malformed";
    case Cause::kUnknown:
      return "unknown";
    case Cause::kWrong:
      return "wrong";
    case Cause::kSuspended:
      return "suspended";
    case Cause::kClosed:
      return "closed";
    case Cause::kExpired:
      return "expired";
    case Cause::kNotEntitled:
      return "not_entitled";
    case Cause::kNotHereYet:
      return "not_here_yet";
    case Cause::kDeferred:
      return "deferred";
    case Cause::kStateUnreadable:
      return "state_unreadable";
    case Cause::kDirectoryUnreachable:
      return "directory_unreachable";
    case Cause::kWorkerFailed:
      return "worker_failed";
    case Cause::kOverloaded:
      return "overloaded";
  }
  return "worker_failed";
}

}  // namespace prov::auth
