// Who is behind a load balancer: the PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt). Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "agents/mail/net/peer.h"

namespace prov::net {

constexpr size_t kMaxProxyV1Octets = 107;        // section 2.1, with CRLF
constexpr size_t kProxyV2FixedOctets = 16;       // section 2.2
constexpr size_t kMaxProxyV2Octets = 16 + 4096;  // addresses and what else is told; section 2.2 allows 64 KiB

struct ProxyHeader {
  size_t octets = 0;  // how much of the input it was
  // The client. Nothing: the connection is the balancer's own (LOCAL, UNKNOWN), a health check mostly.
  std::optional<Peer> client;
};

// Nothing: more octets are needed. INVALID_ARGUMENT: it is no such header, or one of what is no TCP.
absl::StatusOr<std::optional<ProxyHeader>> ParseProxyHeader(std::string_view input);

}  // namespace prov::net
