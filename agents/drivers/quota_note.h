// What a subscriber's plan allows, as a file in the home: read by the host's quota tools, and by the
// subscriber, who cannot change it.
//
//   plan gold
//   octets 10737418240
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::drivers {

constexpr const char* kQuotaNote = "quota";

// `plan` is free of blanks and control characters.
std::string FormatQuotaNote(std::string_view plan, int64_t octets);

// The note of an open home; empty: there is none.
absl::StatusOr<std::string> ReadQuotaNote(int home);
// Makes it so, atomically, and durable but for the name; the home's sync makes that durable. Empty: none.
// What is so already is left alone.
absl::Status PutQuotaNote(int home, const std::string& note);

}  // namespace prov::drivers
