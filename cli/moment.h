// Times on the command line and on the screen.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <string>

#include "absl/status/statusor.h"

namespace prov::cli {

inline constexpr char kMomentHelp[] =
    "2026-12-01T00:00:00Z (RFC 3339), or from now on: +90s, +30m, +2h, +14d";

// INVALID_ARGUMENT on `field` for what is neither.
absl::StatusOr<google::protobuf::Timestamp> ParseMoment(std::string_view field, const std::string& text);

// "90m", "12h", "7d" before now; "2026-11-01"; RFC 3339. INVALID_ARGUMENT on `field` for what is none.
absl::StatusOr<google::protobuf::Timestamp> ParsePast(std::string_view field, const std::string& text);

// RFC 3339 in seconds: the fraction is of use to programs only.
std::string MomentText(google::protobuf::Timestamp time);

}  // namespace prov::cli
