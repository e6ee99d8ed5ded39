// What a host or a caller sends to get a certificate: PKCS #10 (RFC 2986).
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace prov::enrol {

constexpr size_t kMaxCertificateRequestOctets = size_t{8} << 10;
constexpr int kLeastRsaBits = 2048;
constexpr int kMostRsaBits = 4096;  // to verify a larger one takes long

// A key whose owner has proved that it is theirs.
struct RequestedKey {
  std::string public_key_der;  // SubjectPublicKeyInfo
  std::string hash;            // SHA-256 of it, 32 octets
};

// The request's key: EC P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits, and the request signed with it.
// Subject and attributes are ignored: who gets a certificate as whom is decided elsewhere. INVALID_ARGUMENT
// on `certificate_request_der` says what is wrong. Pure.
absl::StatusOr<RequestedKey> CheckCertificateRequest(std::string_view der);

}  // namespace prov::enrol
