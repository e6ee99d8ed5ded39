// Limits and intervals of the agents' streams.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace prov::api {

constexpr std::chrono::seconds kHeartbeatInterval{5};
constexpr std::chrono::seconds kHelloPatience{10};
constexpr std::chrono::seconds kTrustInterval{1};  // between two looks at whose certificates were revoked
constexpr std::chrono::milliseconds kPersistInterval{1000};
// Between two looks at the change log: under load writes travel together. After a pause the first one goes at
// once.
constexpr std::chrono::milliseconds kRoundInterval{20};
constexpr std::chrono::milliseconds kDatabaseRetry{1000};
constexpr uint64_t kMaxUnacknowledgedBatches = 4;
constexpr size_t kMaxStreamsPerHost = 16;  // a host has at most seven roles, and may reconnect
constexpr size_t kMaxStreams = 10000;
constexpr size_t kMaxRequestOctets = 256 << 10;
constexpr int kMaxFailingItems = 100;
constexpr int kMaxDrifts = 100;
constexpr uint64_t kMaxSessions = 100'000'000;  // of one role on one host
constexpr size_t kMaxErrorOctets = 1024;        // longer ones are cut
constexpr size_t kMaxKeyOctets = 320;
constexpr size_t kMaxAgentVersionOctets = 64;
constexpr size_t kMaxEndpoints = 16;
constexpr size_t kMaxServiceOctets = 32;
constexpr size_t kMaxEndpointOctets = 262;  // a name, a colon, a port, and brackets

}  // namespace prov::api
