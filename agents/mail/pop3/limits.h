// Time limits of POP3 sessions.
#pragma once

#include <chrono>

namespace prov::pop3 {

constexpr std::chrono::seconds kLoginPatience(180);   // until logged in, for each command
constexpr std::chrono::minutes kIdlePatience(10);     // RFC 1939 section 3: at least ten minutes
constexpr std::chrono::seconds kWritePatience(120);   // for each step of a reply
constexpr std::chrono::seconds kBackEndPatience(30);  // of the proxy, for each reply of a store
constexpr std::chrono::seconds kConnectPatience(5);   // of the proxy, for each store
constexpr size_t kRelayOctets = 16 * 1024;

}  // namespace prov::pop3
