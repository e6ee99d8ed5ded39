// The model's types as messages of the API, and names of resources.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prov/v1/audit.pb.h"
#include "prov/v1/domains.pb.h"
#include "prov/v1/fleet.pb.h"
#include "prov/v1/subscribers.pb.h"
#include "server/model/domain.h"
#include "server/model/fleet.h"
#include "server/model/subscriber.h"
#include "server/store/audit_repository.h"
#include "server/store/host_progress.h"

namespace prov::api {

v1::Subscriber ToProto(const model::Subscriber& subscriber);
v1::Domain ToProto(const model::Domain& domain);
v1::Pool ToProto(const model::Pool& pool);
v1::Host ToProto(const model::Host& host);
v1::HostProgress ToProto(const store::HostProgress& progress);
v1::AuditRecord ToProto(const store::AuditRecord& record);

// INVALID_ARGUMENT on pool.role.
absl::StatusOr<model::Role> RoleFromProto(v1::Role role);

// "subscribers/1042" → "1042"; "subscribers/Alice@Example.net" → "alice@example.net". INVALID_ARGUMENT on
// `field`.
absl::StatusOr<std::string> SubscriberKeyOf(std::string_view field, std::string_view name);
// "domains/example.net", "pools/main", "hosts/store1" → what follows the slash, checked.
absl::StatusOr<std::string> DomainKeyOf(std::string_view field, std::string_view name);
absl::StatusOr<std::string> PoolKeyOf(std::string_view field, std::string_view name);
absl::StatusOr<std::string> HostKeyOf(std::string_view field, std::string_view name);

// ABORTED on `etag` unless it is empty or that of `revision` (AIP-154).
absl::Status CheckEtag(std::string_view etag, uint64_t revision);
std::string EtagOf(uint64_t revision);

}  // namespace prov::api
