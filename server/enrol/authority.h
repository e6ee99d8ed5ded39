// The private CA: certificates for provd, for agents and for callers (X.509, RFC 5280). Identity is the URI
// subject alternative name, prov://role/name; see common/grpc_tls.h.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/enrol/certificate_request.h"

typedef struct evp_pkey_st EVP_PKEY;  // OpenSSL's

namespace prov::enrol {

// A directory with ca.pem and ca.key (0600). Keys are EC P-256.
class Authority {
 public:
  // ALREADY_EXISTS if there is one: a CA is never overwritten.
  static absl::Status Create(const std::string& directory);
  static bool Exists(const std::string& directory);
  static absl::StatusOr<Authority> Load(const std::string& directory);

  struct Subject {
    std::string identity;                // prov://role/name
    std::vector<std::string> dns_names;  // where it serves
    std::vector<std::string> ip_addresses;
    std::chrono::seconds lifetime = std::chrono::hours(90 * 24);  // 10 s to ten years
  };
  struct Issued {
    std::string certificate_pem;
    std::string key_pem;
  };
  // INVALID_ARGUMENT for a malformed identity, name or address. Serial numbers are 128 random bits.
  absl::StatusOr<Issued> Issue(const Subject& subject) const;
  // The same for a key that its owner keeps; the certificate in PEM form.
  absl::StatusOr<std::string> Sign(const Subject& subject, const RequestedKey& requested) const;

  const std::string& certificate_pem() const { return certificate_pem_; }
  // SHA-256 of the CA's certificate, lower-case hexadecimal.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  Authority(std::string certificate_pem, std::string key_pem, std::string fingerprint)
      : certificate_pem_(std::move(certificate_pem)),
        key_pem_(std::move(key_pem)),
        fingerprint_(std::move(fingerprint)) {}

  absl::StatusOr<std::string> SignKey(const Subject& subject, EVP_PKEY* key) const;

  std::string certificate_pem_;
  std::string key_pem_;
  std::string fingerprint_;
};

}  // namespace prov::enrol
