// What a lifecycle state means: names over a matrix {login, submit, receive, ftp, web} × disposition.
#pragma once

#include <string_view>

namespace prov::model {

enum class State { kActive, kSuspended, kClosed, kPurged };

// One cell of the matrix.
enum class Disposition { kAllow, kTempFail, kReject };

// What a domain does with mail for its suspended subscribers.
enum class SuspendedMail { kKeep, kReject, kDefer };

struct Entitlements {
  bool mail = true;
  bool ftp = false;
  bool web = false;
  bool operator==(const Entitlements&) const = default;
};

// One row of the matrix for one subscriber.
struct Dispositions {
  Disposition login = Disposition::kReject;    // POP3
  Disposition submit = Disposition::kReject;   // SMTP AUTH
  Disposition receive = Disposition::kReject;  // mail coming in
  Disposition ftp = Disposition::kReject;
  Disposition web = Disposition::kReject;
  bool operator==(const Dispositions&) const = default;
};

// Pure. Active: what the entitlements say. Suspended: everything refused, but mail comes in unless the domain
// says otherwise. Closed, purged: everything refused.
Dispositions DispositionsOf(State state, const Entitlements& entitlements, SuspendedMail suspended_mail);

// "active", "suspended", "closed", "purged": as stored in PostgreSQL.
std::string_view StateName(State state);

}  // namespace prov::model
