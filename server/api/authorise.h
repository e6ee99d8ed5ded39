// Who may call what: one table of method × role, deny by default. A test walks every method of every service.
#pragma once

#include <grpcpp/server_context.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::api {

// Roles as bits, so that a row of the table reads as a set.
enum RoleBit : unsigned {
  kOperator = 1,
  kBilling = 2,
  kHelpdesk = 4,
  kAuditor = 8,
  kAgent = 16,
};

struct MethodRule {
  std::string_view method;  // "/prov.v1.Subscribers/GetSubscriber"
  unsigned roles;           // RoleBits
};

const std::vector<MethodRule>& MethodTable();

// Whoever is at the other end, by its certificate.
struct Caller {
  std::string role;  // "helpdesk"
  std::string name;  // "mary"
  std::string peer;  // address, as gRPC names it

  std::string ToString() const { return role + "/" + name; }
};

// Full method names that the role may call.
std::vector<std::string> MethodsOf(std::string_view role);

// UNAUTHENTICATED without an identity in our form; PERMISSION_DENIED when the table has no such method or
// role.
absl::StatusOr<Caller> AuthoriseCall(const grpc::ServerContextBase& context, std::string_view method);

// AuthoriseCall that tells of refusals. Thread-safe.
class Authoriser {
 public:
  using OnRefused =
      std::function<void(const Caller& caller, std::string_view method, const absl::Status& status)>;
  explicit Authoriser(OnRefused on_refused) : on_refused_(std::move(on_refused)) {}

  absl::StatusOr<Caller> Authorise(const grpc::ServerContextBase& context, std::string_view method) const;
  // For a call that the table allows and that is denied for what it asks for: tells of it, returns `status`.
  absl::Status Refuse(const Caller& caller, std::string_view method, const absl::Status& status) const;

 private:
  const OnRefused on_refused_;
};

}  // namespace prov::api
