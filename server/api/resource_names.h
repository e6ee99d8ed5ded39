// Names of resources, as callers give them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace prov::api {

// "subscribers/1042" → "1042"; "subscribers/Alice@Example.net" → "alice@example.net". INVALID_ARGUMENT on
// `field`.
absl::StatusOr<std::string> SubscriberKeyOf(std::string_view field, std::string_view name);
// "domains/example.net", "pools/main", "hosts/store1" → what follows the slash, checked.
absl::StatusOr<std::string> DomainKeyOf(std::string_view field, std::string_view name);
absl::StatusOr<std::string> PoolKeyOf(std::string_view field, std::string_view name);
absl::StatusOr<std::string> MailingListKeyOf(std::string_view field, std::string_view name);
absl::StatusOr<std::string> HostKeyOf(std::string_view field, std::string_view name);

// "lists/{address}/members/{address}".
struct MemberName {
  std::string list, address;
};
absl::StatusOr<MemberName> MemberNameOf(std::string_view field, std::string_view name);

// "scheduledChanges/17", "moves/17".
absl::StatusOr<int64_t> ScheduledChangeIdOf(std::string_view field, std::string_view name);
absl::StatusOr<int64_t> MailboxMoveIdOf(std::string_view field, std::string_view name);

}  // namespace prov::api
