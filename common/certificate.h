// X.509 certificates as their owners see them (RFC 5280), and requests for them (PKCS #10, RFC 2986).
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov {

constexpr size_t kMaxPemOctets = size_t{64} << 10;

struct CertificateFacts {
  std::string serial;       // lower-case hexadecimal
  std::string fingerprint;  // SHA-256 of the DER form, lower-case hexadecimal
  std::string identity;     // the URI subject alternative name, "prov://agent/store1"; "" if there is none
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
};

// Of the first certificate in a PEM text. INVALID_ARGUMENT if there is none.
absl::StatusOr<CertificateFacts> ReadCertificate(std::string_view pem);

// Whether any certificate of a PEM text has this fingerprint.
bool HoldsFingerprint(std::string_view pem, std::string_view fingerprint);

// Whether the first certificate of `certificate_pem` is for the key. False for what cannot be read.
bool IsCertificateOfKey(std::string_view certificate_pem, std::string_view key_pem);

// A fresh EC P-256 key, PKCS #8 in PEM. It is a secret.
absl::StatusOr<std::string> MakeKey();

// A request for the key, in DER. It names nobody: the CA decides for whom the certificate is.
absl::StatusOr<std::string> MakeCertificateRequest(std::string_view key_pem);

}  // namespace prov
