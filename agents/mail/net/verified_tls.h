// Us as a client of hosts that must show who they are: nothing is said to anybody else.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/net/tls_party.h"

namespace prov::net {

// Names of which a certificate must have one (RFC 6125, RFC 9525). Subject alternative names count, and
// nothing else.
struct TlsIdentity {
  std::vector<std::string> hosts;  // DNS names, or IP addresses
  std::string uri;                 // empty: none
};

// TLS 1.2 and 1.3. Sessions are resumed for a while with the identity that they were begun with, so that a
// login does not cost a signature. Thread-safe; outlives the connections that began with its parties.
class VerifiedTls {
 public:
  // `ca`: PEM, the certificates to trust. INVALID_ARGUMENT when there are none in it.
  static absl::StatusOr<std::unique_ptr<VerifiedTls>> Make(std::string ca);
  virtual ~VerifiedTls() = default;

  // The handshake fails unless the peer's certificate is the identity's. The first host is named to the
  // server, unless it is an address.
  virtual std::unique_ptr<TlsParty> Towards(TlsIdentity identity) = 0;

  // Reads the file again if it was changed since; true if so. After an error everything stays as it was.
  virtual absl::StatusOr<bool> Refresh() = 0;
};

}  // namespace prov::net
