// "host:port" as configuration and provd write it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace prov::net {

struct HostPort {
  std::string host;  // without brackets; "*" and nothing are given as "0.0.0.0"
  uint16_t port = 0;
};

// "192.0.2.1:25", "[2001:db8::1]:25", "mx.example.net:25". INVALID_ARGUMENT says what is wrong.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

}  // namespace prov::net
