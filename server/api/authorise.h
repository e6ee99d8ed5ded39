// Who may call what: one table of method × role, deny by default. A test walks every method of every service.
#pragma once

#include <grpcpp/server_context.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/trust.h"

namespace prov::api {

class RateLimiter;

// Roles as bits, so that a row of the table reads as a set.
enum RoleBit : unsigned {
  kOperator = 1,
  kBilling = 2,
  kHelpdesk = 4,
  kAuditor = 8,
  kAgent = 16,
  // No role of a certificate: whoever has a token, on the enrolment port alone.
  kTokenHolder = 32,
};

struct MethodRule {
  std::string_view method;  // "/prov.v1.Subscribers/GetSubscriber"
  unsigned roles;           // RoleBits
};

const std::vector<MethodRule>& MethodTable();

// Whoever is at the other end, by its certificate.
struct Caller {
  std::string role;                                 // "helpdesk"
  std::string name;                                 // "mary"
  std::string peer;                                 // address, as gRPC names it
  std::string serial;                               // of the certificate, lower-case hexadecimal
  std::chrono::system_clock::time_point not_after;  // of the certificate

  std::string ToString() const { return role + "/" + name; }
};

// Full method names that the role may call.
std::vector<std::string> MethodsOf(std::string_view role);

// By the certificate alone, then by the table. UNAUTHENTICATED without an identity in our form, or with an
// expired certificate (a connection may outlive it); PERMISSION_DENIED when the table has no such method or
// role.
absl::StatusOr<Caller> AuthoriseCall(const grpc::ServerContextBase& context, std::string_view method);

// What else a call must pass. Both must outlive the authoriser; null: not asked.
struct Admission {
  const store::Trust* trust = nullptr;  // UNAUTHENTICATED for a certificate that is revoked
  RateLimiter* limiter = nullptr;       // RESOURCE_EXHAUSTED by role and identity; agents' streams are exempt
};

// AuthoriseCall and Admission; tells of refusals. Those for making too many calls are told of at a bounded
// rate. Thread-safe.
class Authoriser {
 public:
  using OnRefused =
      std::function<void(const Caller& caller, std::string_view method, const absl::Status& status)>;
  explicit Authoriser(OnRefused on_refused, Admission admission = {});
  ~Authoriser();

  absl::StatusOr<Caller> Authorise(const grpc::ServerContextBase& context, std::string_view method) const;
  // For a call that the table allows and that is denied for what it asks for: tells of it, returns `status`.
  absl::Status Refuse(const Caller& caller, std::string_view method, const absl::Status& status) const;

  // Whether a stream's caller is still believed: neither expired nor revoked since. Does not block.
  absl::Status CheckTrust(const Caller& caller) const;

 private:
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context, std::string_view method) const;
  bool IsWorthTelling(const Caller& caller, const absl::Status& status) const;

  const OnRefused on_refused_;
  const Admission admission_;
  const std::unique_ptr<RateLimiter> telling_;  // of refusals for haste
};

}  // namespace prov::api
