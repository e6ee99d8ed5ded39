#include "server/enrol/certificate_request.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/sha.h>

#include "common/openssl_handles.h"
#include "common/status.h"

namespace prov::enrol {
namespace {

constexpr int kMostExponentBits = 33;  // 65537 has 17; a long one makes verifying slow

absl::Status Wrong(std::string_view what) {
  ERR_clear_error();
  return InvalidField("certificate_request_der", what);
}

bool IsGoodCurve(const EVP_PKEY* key) {
  char name[64];
  size_t size = 0;
  if (EVP_PKEY_get_group_name(key, name, sizeof name, &size) != 1) return false;
  const std::string_view curve(name, size);
  return curve == "prime256v1" || curve == "P-256" || curve == "secp384r1" || curve == "P-384";
}

bool IsGoodRsa(const EVP_PKEY* key) {
  const int bits = EVP_PKEY_get_bits(key);
  BIGNUM* exponent = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1) return false;
  const openssl::Number owned(exponent);
  return bits >= kLeastRsaBits && bits <= kMostRsaBits && BN_num_bits(exponent) <= kMostExponentBits;
}

bool IsGoodKey(const EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC:
      return IsGoodCurve(key);
    case EVP_PKEY_RSA:
      return IsGoodRsa(key);
    case EVP_PKEY_ED25519:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::StatusOr<RequestedKey> CheckCertificateRequest(std::string_view der) {
  if (der.empty()) return Wrong("is required: a certificate request, PKCS #10 in DER form");
  if (der.size() > kMaxCertificateRequestOctets) {
    return Wrong(fmt::format("is longer than {} octets", kMaxCertificateRequestOctets));
  }
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = at + der.size();
  const openssl::Request request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  if (!request || at != end) return Wrong("is not a certificate request, PKCS #10 in DER form");
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  // Before the signature: whether that is cheap to verify depends on the key.
  if (key == nullptr || !IsGoodKey(key)) {
    return Wrong("its key must be EC P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits");
  }
  if (X509_REQ_verify(request.get(), key) != 1) return Wrong("is not signed with its own key");

  unsigned char* octets = nullptr;
  const int size = i2d_PUBKEY(key, &octets);
  if (size <= 0) return openssl::Error("write a public key");
  RequestedKey requested;
  requested.public_key_der.assign(reinterpret_cast<char*>(octets), static_cast<size_t>(size));
  OPENSSL_free(octets);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(requested.public_key_der.data()),
         requested.public_key_der.size(), digest);
  requested.hash.assign(reinterpret_cast<char*>(digest), sizeof digest);
  return requested;
}

}  // namespace prov::enrol
