// Who the client is, as a proxy before us says: XCLIENT as Dovecot's POP3 login takes it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace prov::pop3 {

constexpr size_t kMaxSessionOctets = 64;  // Dovecot's LOGIN_MAX_SESSION_ID_LEN

struct Xclient {
  std::string address = {};  // as net::Peer gives it; empty: it was not told
  uint16_t port = 0;         // 0: it was not told
  std::string session = {};  // names the session in logs; empty: it was not told
};

// "ADDR=192.0.2.1 PORT=1024 SESSION=abc": names in any case; an IPv6 address with "IPV6:" before it or
// without. What else Dovecot's proxies send (TTL, FORWARD, …) is passed over. Nothing: it is malformed.
std::optional<Xclient> ParseXclient(std::string_view argument);

}  // namespace prov::pop3
