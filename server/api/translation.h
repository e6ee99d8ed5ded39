// The model's types as messages of the API, and names of resources.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prov/v1/audit.pb.h"
#include "prov/v1/domains.pb.h"
#include "prov/v1/fleet.pb.h"
#include "prov/v1/lists.pb.h"
#include "prov/v1/subscribers.pb.h"
#include "server/model/domain.h"
#include "server/model/fleet.h"
#include "server/model/mailbox_move.h"
#include "server/model/mailing_list.h"
#include "server/model/subscriber.h"
#include "server/store/audit_repository.h"
#include "server/store/host_progress.h"
#include "server/store/schedule_repository.h"

namespace prov::api {

// Those that may be scheduled, as they are kept.
inline constexpr char kSuspendMethod[] = "/prov.v1.Subscribers/SuspendSubscriber";
inline constexpr char kResumeMethod[] = "/prov.v1.Subscribers/ResumeSubscriber";
inline constexpr char kDeleteMethod[] = "/prov.v1.Subscribers/DeleteSubscriber";

v1::Subscriber ToProto(const model::Subscriber& subscriber);
v1::Domain ToProto(const model::Domain& domain);
v1::MailingList ToProto(const model::MailingList& list);
v1::Member ToProto(const model::Member& member);
v1::Pool ToProto(const model::Pool& pool);
v1::Host ToProto(const model::Host& host);
v1::MailboxMove ToProto(const model::MailboxMove& move);
v1::MailboxMove::State ToProto(model::MoveState state);
v1::HostProgress ToProto(const store::HostProgress& progress);
v1::AuditRecord ToProto(const store::AuditRecord& record);
v1::ScheduledChange ToProto(const store::ScheduledChange& change);

// INVALID_ARGUMENT on pool.role.
absl::StatusOr<model::Role> RoleFromProto(v1::Role role);

// ABORTED on `etag` unless it is empty or that of `revision` (AIP-154).
absl::Status CheckEtag(std::string_view etag, uint64_t revision);
std::string EtagOf(uint64_t revision);

}  // namespace prov::api
