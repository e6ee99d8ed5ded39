#include "server/api/authorise.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/grpc_tls.h"

namespace prov::api {
namespace {

constexpr unsigned kPeople = kOperator | kBilling | kHelpdesk;
constexpr unsigned kReaders = kPeople | kAuditor;

constexpr std::pair<std::string_view, RoleBit> kRoles[] = {
    {"operator", kOperator}, {"billing", kBilling}, {"helpdesk", kHelpdesk},
    {"auditor", kAuditor},   {"agent", kAgent},
};

unsigned BitOf(std::string_view role) {
  for (const auto& [name, bit] : kRoles) {
    if (name == role) return bit;
  }
  return 0;
}

Caller CallerOf(const grpc::ServerContextBase& context, const PeerIdentity& identity) {
  return {identity.role, identity.name, context.peer()};
}

absl::Status CheckTable(const Caller& caller, std::string_view method) {
  for (const MethodRule& rule : MethodTable()) {
    if (rule.method != method) continue;
    if (rule.roles & BitOf(caller.role)) return absl::OkStatus();
    break;
  }
  return absl::PermissionDeniedError(
      fmt::format("{} may not call {}; provctl whoami shows what it may", caller.ToString(), method));
}

}  // namespace

const std::vector<MethodRule>& MethodTable() {
  static const std::vector<MethodRule> table = {
      {"/prov.v1.Subscribers/CreateSubscriber", kOperator | kBilling},
      {"/prov.v1.Subscribers/GetSubscriber", kReaders},
      {"/prov.v1.Subscribers/ListSubscribers", kReaders},
      {"/prov.v1.Subscribers/UpdateSubscriber", kPeople},
      {"/prov.v1.Subscribers/SuspendSubscriber", kPeople},
      {"/prov.v1.Subscribers/ResumeSubscriber", kPeople},
      {"/prov.v1.Subscribers/DeleteSubscriber", kOperator | kBilling},
      {"/prov.v1.Subscribers/UndeleteSubscriber", kPeople},
      {"/prov.v1.Subscribers/PurgeSubscriber", kOperator},
      {"/prov.v1.Subscribers/SetPassword", kPeople},
      {"/prov.v1.Subscribers/AddAddress", kPeople},
      {"/prov.v1.Subscribers/RemoveAddress", kPeople},
      {"/prov.v1.Subscribers/SetForward", kPeople},
      {"/prov.v1.Subscribers/ListScheduledChanges", kReaders},
      {"/prov.v1.Subscribers/CancelScheduledChange", kPeople},
      {"/prov.v1.Subscribers/ImportSubscribers", kOperator | kBilling},

      {"/prov.v1.Domains/CreateDomain", kOperator | kBilling},
      {"/prov.v1.Domains/GetDomain", kReaders},
      {"/prov.v1.Domains/ListDomains", kReaders},
      {"/prov.v1.Domains/UpdateDomain", kOperator | kBilling},
      {"/prov.v1.Domains/DeleteDomain", kOperator | kBilling},

      {"/prov.v1.MailingLists/CreateMailingList", kPeople},
      {"/prov.v1.MailingLists/GetMailingList", kReaders},
      {"/prov.v1.MailingLists/ListMailingLists", kReaders},
      {"/prov.v1.MailingLists/UpdateMailingList", kPeople},
      {"/prov.v1.MailingLists/DeleteMailingList", kPeople},
      {"/prov.v1.MailingLists/AddMember", kPeople},
      {"/prov.v1.MailingLists/RemoveMember", kPeople},
      {"/prov.v1.MailingLists/ListMembers", kReaders},

      {"/prov.v1.Fleet/CreatePool", kOperator},
      {"/prov.v1.Fleet/GetPool", kReaders},
      {"/prov.v1.Fleet/ListPools", kReaders},
      {"/prov.v1.Fleet/UpdatePool", kOperator},
      {"/prov.v1.Fleet/DeletePool", kOperator},
      {"/prov.v1.Fleet/CreateHost", kOperator},
      {"/prov.v1.Fleet/GetHost", kReaders},
      {"/prov.v1.Fleet/ListHosts", kReaders},
      {"/prov.v1.Fleet/UpdateHost", kOperator},
      {"/prov.v1.Fleet/DeleteHost", kOperator},
      {"/prov.v1.Fleet/DrainHost", kOperator},
      {"/prov.v1.Fleet/UndrainHost", kOperator},
      {"/prov.v1.Fleet/EvictHost", kOperator},
      {"/prov.v1.Fleet/BanHost", kOperator},
      {"/prov.v1.Fleet/MoveMailbox", kOperator},
      {"/prov.v1.Fleet/GetMailboxMove", kReaders},
      {"/prov.v1.Fleet/ListMailboxMoves", kReaders},
      {"/prov.v1.Fleet/CancelMailboxMove", kOperator},

      {"/prov.v1.Operations/WaitForRevision", kReaders},
      {"/prov.v1.Operations/GetStatus", kReaders},
      {"/prov.v1.Operations/WatchChanges", kOperator | kBilling | kAuditor},
      {"/prov.v1.Operations/WhoAmI", kReaders | kAgent},
      {"/prov.v1.Operations/Explain", kReaders},

      {"/prov.v1.Directory/VerifyDirectory", kOperator | kAuditor},
      {"/prov.v1.Directory/RepairDirectory", kOperator},
      {"/prov.v1.Directory/RebuildDirectory", kOperator},

      {"/prov.v1.Approvals/ApproveChanges", kOperator},
      {"/prov.v1.Approvals/ListStoppedCallers", kReaders},
      {"/prov.v1.Approvals/GetHostApproval", kAgent},

      {"/prov.v1.Audit/ListAuditRecords", kOperator | kAuditor},
      {"/prov.v1.Audit/VerifyAuditLog", kOperator | kAuditor},

      {"/prov.v1.Enrolment/CreateEnrolmentToken", kOperator},
      {"/prov.v1.Enrolment/Enrol", kOperator | kAgent},
      {"/prov.v1.Enrolment/RenewCertificate", kReaders | kAgent},
      {"/prov.v1.Enrolment/RevokeCertificate", kOperator},
      {"/prov.v1.Enrolment/IssueCallerCertificate", kOperator},

      {"/prov.v1.AgentSync/Sync", kAgent},
  };
  return table;
}

std::vector<std::string> MethodsOf(std::string_view role) {
  std::vector<std::string> methods;
  for (const MethodRule& rule : MethodTable()) {
    if (rule.roles & BitOf(role)) methods.emplace_back(rule.method);
  }
  return methods;
}

absl::StatusOr<Caller> AuthoriseCall(const grpc::ServerContextBase& context, std::string_view method) {
  const auto auth = context.auth_context();
  if (!auth) return absl::UnauthenticatedError("a client certificate is required");
  absl::StatusOr<PeerIdentity> identity = IdentityOf(*auth);
  if (!identity.ok()) return identity.status();
  Caller caller = CallerOf(context, *identity);
  if (absl::Status status = CheckTable(caller, method); !status.ok()) return status;
  return caller;
}

absl::StatusOr<Caller> Authoriser::Authorise(const grpc::ServerContextBase& context,
                                             std::string_view method) const {
  absl::StatusOr<Caller> caller = AuthoriseCall(context, method);
  if (!caller.ok()) {
    const auto auth = context.auth_context();
    const absl::StatusOr<PeerIdentity> identity =
        auth ? IdentityOf(*auth) : absl::StatusOr<PeerIdentity>(absl::UnauthenticatedError("none"));
    on_refused_(CallerOf(context, identity.ok() ? *identity : PeerIdentity{"unknown", "unknown"}), method,
                caller.status());
  }
  return caller;
}

}  // namespace prov::api
