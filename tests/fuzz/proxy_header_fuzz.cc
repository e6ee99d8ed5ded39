// PROXY headers of load balancers.
#include "agents/mail/net/proxy_header.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto header = prov::net::ParseProxyHeader(input);
  if (!header.ok() || !header->has_value()) return 0;
  FUZZ_CHECK((*header)->octets > 0 && (*header)->octets <= size);
  // It ends where it ends, whatever follows.
  const auto alone = prov::net::ParseProxyHeader(input.substr(0, (*header)->octets));
  FUZZ_CHECK(alone.ok() && alone->has_value() && (*alone)->octets == (*header)->octets);
  const auto shorter = prov::net::ParseProxyHeader(input.substr(0, (*header)->octets - 1));
  FUZZ_CHECK(!shorter.ok() || !shorter->has_value());
  return 0;
}
