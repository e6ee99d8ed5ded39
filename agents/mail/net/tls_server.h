// Our certificates towards clients of the mail protocols.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/net/tls_party.h"

namespace prov::net {

constexpr size_t kMostCertificates = 100;

struct CertificateFiles {
  std::string chain;  // PEM: the certificate, then those that signed it
  std::string key;    // PEM; may be the same file
};

// TLS 1.2 and 1.3, without renegotiation. Thread-safe; must outlive the connections that began with it.
class TlsServer : public TlsParty {
 public:
  // The first is for clients that name no server, or one that no certificate is for (RFC 6066 section 3).
  // INVALID_ARGUMENT names the file that is no certificate, or not of its key.
  static absl::StatusOr<std::unique_ptr<TlsServer>> Load(std::vector<CertificateFiles> files);

  // Reads all again if one was changed since; true if so. Connections under way keep what they began with.
  // After an error everything stays as it was, and the next call tries again.
  virtual absl::StatusOr<bool> Refresh() = 0;
};

}  // namespace prov::net
