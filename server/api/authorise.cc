#include "server/api/authorise.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/clock.h"
#include "common/grpc_tls.h"
#include "common/status.h"
#include "server/api/rate_limit.h"

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

constexpr std::string_view kSync = "/prov.v1.AgentSync/Sync";
// Of refusals for haste, which a caller in a loop makes by the thousand, so many are told of.
constexpr Rate kHasteTold = {.per_second = 0.1, .burst = 3};

absl::Status CheckNotExpired(const Caller& caller) {
  if (caller.not_after > std::chrono::system_clock::now()) return absl::OkStatus();
  return FieldError(absl::StatusCode::kUnauthenticated, "certificate", "CERTIFICATE_EXPIRED",
                    "has expired since this connection was made");
}

absl::StatusOr<Caller> IdentifyCaller(const grpc::ServerContextBase& context) {
  const auto auth = context.auth_context();
  if (!auth) return absl::UnauthenticatedError("a client certificate is required");
  PROV_ASSIGN_OR_RETURN(const PeerIdentity identity, IdentityOf(*auth));
  PROV_ASSIGN_OR_RETURN(const PeerCertificate certificate, PeerCertificateOf(*auth));
  Caller caller{identity.role, identity.name, context.peer(), certificate.serial, certificate.not_after};
  PROV_RETURN_IF_ERROR(CheckNotExpired(caller));
  return caller;
}

// For the record of a refusal: as much as is known.
Caller Nameless(const grpc::ServerContextBase& context) {
  const auto auth = context.auth_context();
  const absl::StatusOr<PeerIdentity> identity =
      auth ? IdentityOf(*auth) : absl::StatusOr<PeerIdentity>(absl::UnauthenticatedError("none"));
  if (!identity.ok()) return {"unknown", "unknown", context.peer(), "", {}};
  return {identity->role, identity->name, context.peer(), "", {}};
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
      {"/prov.v1.Fleet/InspectHost", kOperator},
      {"/prov.v1.Fleet/EvictHost", kOperator},
      {"/prov.v1.Fleet/BanHost", kOperator},
      {"/prov.v1.Fleet/MoveMailbox", kOperator},
      {"/prov.v1.Fleet/GetMailboxMove", kReaders},
      {"/prov.v1.Fleet/ListMailboxMoves", kReaders},
      {"/prov.v1.Fleet/CancelMailboxMove", kOperator},

      // The repository sees to it that the host is in the pool that the mailbox moves to.
      {"/prov.v1.MailboxMoves/ReportMailboxMove", kAgent},

      // Who writes to whom: for those who are asked where mail is, and nobody else.
      {"/prov.v1.MailQueues/ListQueuedMessages", kOperator | kHelpdesk},
      {"/prov.v1.MailQueues/HoldQueuedMessages", kOperator},
      {"/prov.v1.MailQueues/ReleaseQueuedMessages", kOperator},
      {"/prov.v1.MailQueues/DropQueuedMessages", kOperator},
      {"/prov.v1.MailQueues/FlushQueuedMessages", kOperator},
      {"/prov.v1.MailQueues/TraceMail", kOperator | kHelpdesk},

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

      // Billing and helpdesk: the history of one subscriber. The service sees to it.
      {"/prov.v1.Audit/ListAuditRecords", kReaders},
      {"/prov.v1.Audit/VerifyAuditLog", kOperator | kAuditor},

      {"/prov.v1.Enrolment/CreateEnrolmentToken", kOperator},
      {"/prov.v1.Enrolment/GetAuthority", kTokenHolder},
      {"/prov.v1.Enrolment/Enrol", kTokenHolder},
      {"/prov.v1.Enrolment/RenewCertificate", kReaders | kAgent},
      {"/prov.v1.Enrolment/RevokeCertificate", kOperator},
      {"/prov.v1.Enrolment/IssueCallerCertificate", kOperator},
      {"/prov.v1.Enrolment/ListCertificates", kOperator | kAuditor},

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
  PROV_ASSIGN_OR_RETURN(Caller caller, IdentifyCaller(context));
  PROV_RETURN_IF_ERROR(CheckTable(caller, method));
  return caller;
}

Authoriser::Authoriser(OnRefused on_refused, Admission admission)
    : on_refused_(std::move(on_refused)),
      admission_(admission),
      telling_(
          std::make_unique<RateLimiter>(std::map<std::string, Rate>{{"haste", kHasteTold}}, SystemClock())) {}
Authoriser::~Authoriser() = default;

absl::Status Authoriser::CheckTrust(const Caller& caller) const {
  PROV_RETURN_IF_ERROR(CheckNotExpired(caller));
  if (admission_.trust == nullptr) return absl::OkStatus();
  return admission_.trust->Check(caller.ToString(), caller.serial);
}

// Haste first: the other refusals are recorded, each of them, and so are bounded as well.
absl::StatusOr<Caller> Authoriser::Admit(const grpc::ServerContextBase& context,
                                         std::string_view method) const {
  PROV_ASSIGN_OR_RETURN(Caller caller, IdentifyCaller(context));
  if (admission_.limiter != nullptr && (method != kSync || caller.role != "agent")) {
    // A role that nobody has heard of may do nothing, but at the pace of those who may do least.
    const std::string rate_class = BitOf(caller.role) != 0 ? caller.role : "agent";
    PROV_RETURN_IF_ERROR(admission_.limiter->Take(rate_class, caller.ToString()));
  }
  PROV_RETURN_IF_ERROR(CheckTrust(caller));
  PROV_RETURN_IF_ERROR(CheckTable(caller, method));
  return caller;
}

bool Authoriser::IsWorthTelling(const Caller& caller, const absl::Status& status) const {
  return !absl::IsResourceExhausted(status) || telling_->TryTake("haste", caller.ToString()).count() == 0;
}

absl::StatusOr<Caller> Authoriser::Authorise(const grpc::ServerContextBase& context,
                                             std::string_view method) const {
  absl::StatusOr<Caller> caller = Admit(context, method);
  if (caller.ok()) return caller;
  const Caller refused = Nameless(context);
  if (IsWorthTelling(refused, caller.status())) on_refused_(refused, method, caller.status());
  return caller;
}

absl::Status Authoriser::Refuse(const Caller& caller, std::string_view method,
                                const absl::Status& status) const {
  on_refused_(caller, method, status);
  return status;
}

}  // namespace prov::api
