#include "server/model/lifecycle.h"

namespace prov::model {
namespace {

Disposition WhenEntitled(bool entitled) { return entitled ? Disposition::kAllow : Disposition::kReject; }

Disposition ReceiveWhenSuspended(SuspendedMail policy) {
  switch (policy) {
    case SuspendedMail::kKeep:
      return Disposition::kAllow;
    case SuspendedMail::kDefer:
      return Disposition::kTempFail;
    case SuspendedMail::kReject:
      return Disposition::kReject;
  }
  return Disposition::kReject;
}

}  // namespace

Dispositions DispositionsOf(State state, const Entitlements& entitlements, SuspendedMail suspended_mail) {
  Dispositions row;
  switch (state) {
    case State::kActive:
      row.login = row.submit = row.receive = WhenEntitled(entitlements.mail);
      row.ftp = WhenEntitled(entitlements.ftp);
      row.web = WhenEntitled(entitlements.web);
      break;
    case State::kSuspended:
      if (entitlements.mail) row.receive = ReceiveWhenSuspended(suspended_mail);
      break;
    case State::kClosed:
    case State::kPurged:
      break;
  }
  return row;
}

std::string_view StateName(State state) {
  switch (state) {
    case State::kActive:
      return "active";
    case State::kSuspended:
      return "suspended";
    case State::kClosed:
      return "closed";
    case State::kPurged:
      return "purged";
  }
  return "unknown";
}

}  // namespace prov::model
