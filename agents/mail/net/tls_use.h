// Whether and when the sessions of a listener go through TLS.
#pragma once

#include <chrono>

namespace prov::net {

class TlsParty;

enum class TlsUse {
  kNone,      // there is no certificate
  kOnDemand,  // STARTTLS (RFC 3207), STLS (RFC 2595)
  kAlways,    // from the first octet on (RFC 8314)
};

struct SessionTls {
  TlsUse use = TlsUse::kNone;
  const TlsParty* party = nullptr;  // set unless `use` is kNone; outlives the session
  std::chrono::milliseconds handshake = std::chrono::seconds(60);
};

}  // namespace prov::net
