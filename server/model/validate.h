// What a value of the model may be. Pure. Each check names the field in its error and says how to mend it;
// values are echoed shortened and escaped, so that an error is safe to print.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/mail_address.h"
#include "server/model/subscriber.h"

namespace prov::model {

constexpr size_t kMaxDisplayNameCharacters = 200;
constexpr size_t kMaxReasonCharacters = 200;
constexpr size_t kMaxPlanOctets = 64;
constexpr size_t kMaxLabels = 32;
constexpr size_t kMaxLabelOctets = 128;  // of a key, and of a value
constexpr size_t kMaxForwardTargets = 20;
constexpr size_t kMaxAddresses = 100;
constexpr int64_t kMaxQuotaBytes = int64_t{1} << 50;
constexpr size_t kMaxRequestIdOctets = 128;
constexpr size_t kMaxPoolIdOctets = 63;
// An address that is a list's: hosts key its members' records by both addresses, and LMDB takes 511 octets.
constexpr size_t kMaxListAddressOctets = 200;
constexpr size_t kMaxListOwners = 20;
constexpr uint32_t kMaxWeight = 1'000'000;

// At most 60 octets of a bad value, quoted, control and non-ASCII octets escaped.
std::string Echo(std::string_view value);

absl::StatusOr<MailAddress> CheckAddress(std::string_view field, std::string_view address);
absl::StatusOr<std::string> CheckDomain(std::string_view field, std::string_view domain);

// Valid UTF-8 without control characters, at most `limit` characters.
absl::Status CheckText(std::string_view field, std::string_view text, size_t limit);
absl::Status CheckPlan(std::string_view field, std::string_view plan);
absl::Status CheckQuota(std::string_view field, int64_t bytes);
absl::Status CheckLabels(std::string_view field, const std::map<std::string, std::string>& labels);
absl::Status CheckWeight(std::string_view field, uint32_t weight);

// Normalises the targets in place; duplicates go.
absl::Status CheckForward(std::string_view field, Forward& forward);

// Normalises the owners in place; duplicates go. At least one must be left.
absl::Status CheckOwners(std::string_view field, std::vector<std::string>& owners);

// [a-z]([a-z0-9-]{0,61}[a-z0-9])?
absl::Status CheckPoolId(std::string_view field, std::string_view id);
// A DNS name in lower case; one label is enough.
absl::Status CheckHostId(std::string_view field, std::string_view id);

// Printable ASCII, at most 128 octets; empty is allowed.
absl::Status CheckRequestId(std::string_view request_id);

}  // namespace prov::model
