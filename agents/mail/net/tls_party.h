// One end of a TLS connection that is to be made (RFC 8446, RFC 5246). OpenSSL writes with write(2): a
// program that uses it ignores SIGPIPE.
#pragma once

#include "absl/status/statusor.h"
#include "common/openssl_handles.h"

namespace prov::net {

// Thread-safe.
class TlsParty {
 public:
  virtual ~TlsParty() = default;
  // Ready for the handshake, as server or as client; without a socket yet.
  virtual absl::StatusOr<openssl::Ssl> Begin() const = 0;
};

}  // namespace prov::net
