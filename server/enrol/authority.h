// The private CA: certificates for provd, for agents and for callers (X.509, RFC 5280). Identity is the URI
// subject alternative name, prov://role/name; see common/grpc_tls.h.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

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
    std::chrono::hours lifetime = std::chrono::hours(90 * 24);
  };
  struct Issued {
    std::string certificate_pem;
    std::string key_pem;
  };
  // INVALID_ARGUMENT for a malformed identity, name or address. Serial numbers are 128 random bits.
  absl::StatusOr<Issued> Issue(const Subject& subject) const;

 private:
  Authority(std::string certificate_pem, std::string key_pem)
      : certificate_pem_(std::move(certificate_pem)), key_pem_(std::move(key_pem)) {}

  std::string certificate_pem_;
  std::string key_pem_;
};

}  // namespace prov::enrol
