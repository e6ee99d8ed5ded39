// Whether a record from provd may become part of the host's copy. Pure.
//
// provd is trusted to decide who is a customer, not to name paths and users: ids become directory names,
// logins lines of /etc/passwd.cache, and both are used by root.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::state {

constexpr size_t kMaxRecordKeyOctets = 480;  // "lists/", 200 octets, "/members/", 254 octets, with room
constexpr size_t kMaxRecordAddresses = 1000;
constexpr size_t kMaxForwardTargets = 100;
constexpr size_t kMaxListOwners = 100;
constexpr size_t kMaxWebNames = 100;
constexpr size_t kMaxPoolMembers = 10000;
constexpr size_t kMaxDisplayNameOctets = 1024;
constexpr size_t kMaxIdOctets = 64;
constexpr size_t kMaxRecordOctets = size_t{4} << 20;

// Whether a key has the form of one: "kind/name", printable ASCII without spaces, no "..".
bool IsRecordKey(std::string_view key);

// INVALID_ARGUMENT naming the field: a kind that the role is not sent, a key that does not fit the body, an
// address, login, id, uid or name that is none.
absl::Status CheckRecord(v1::Role role, const v1::Record& record);

// INVALID_ARGUMENT when something immutable changed: the id that names data on disk.
absl::Status CheckSuccessor(const v1::Record& before, const v1::Record& after);

}  // namespace prov::state
