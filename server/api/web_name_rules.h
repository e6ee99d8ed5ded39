// Who may give which host name to a subscriber's web space.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/write_queue.h"

namespace prov::api {

// All within a write.

// Those of the names that the write's caller may not give: domains that are hosted here and what is below
// them are for operators alone. Whoever can change a subscriber could otherwise put up a www.example.net, or
// a mail.example.net, of his own.
absl::StatusOr<std::vector<std::string>> NamesWithheld(store::WriteTransaction& write,
                                                       const std::vector<std::string>& names);
absl::Status WithheldError(std::string_view field, const std::string& name);
absl::Status TakenError(std::string_view field, const std::string& name);

// The subscriber, who had `before`, has `wanted` afterwards; both sorted. PERMISSION_DENIED and
// ALREADY_EXISTS on subscriber.web_names.
absl::Status SetWebNames(store::WriteTransaction& write, int64_t subscriber_id,
                         const std::vector<std::string>& before, const std::vector<std::string>& wanted);

}  // namespace prov::api
