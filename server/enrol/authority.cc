#include "server/enrol/authority.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <algorithm>

#include "common/certificate.h"
#include "common/file.h"
#include "common/grpc_tls.h"
#include "common/mail_address.h"
#include "common/openssl_handles.h"
#include "common/status.h"

namespace prov::enrol {
namespace {

constexpr int kSerialBits = 128;
constexpr std::chrono::hours kCaLifetime(10 * 365 * 24);
// Clocks differ: a fresh certificate must be good on a host that is a little behind.
constexpr std::chrono::minutes kMostBackdate(5);
constexpr std::chrono::seconds kLeastLifetime(10);
constexpr long kVersion3 = 2;  // RFC 5280 section 4.1.2.1

using openssl::Bio;
using openssl::Certificate;
using openssl::Extension;
using openssl::Key;
using openssl::Number;

absl::StatusOr<std::string> ToPem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) return openssl::Error("write a certificate");
  return openssl::Written(bio.get());
}

absl::StatusOr<std::string> ToPem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl::Error("write a key");
  }
  return openssl::Written(bio.get());
}

absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1)
    return openssl::Error("add an extension");
  return absl::OkStatus();
}

absl::Status SetCommonName(X509* certificate, const std::string& name) {
  // RFC 5280 appendix A.1: ub-common-name is 64; the identity is in the URI anyway.
  const std::string common = name.substr(0, 64);
  X509_NAME* subject = X509_get_subject_name(certificate);
  if (X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common.c_str()), -1, -1, 0) != 1) {
    return openssl::Error("name a certificate");
  }
  return absl::OkStatus();
}

// A certificate with serial, times, name and key; not signed yet.
absl::StatusOr<Certificate> Draft(EVP_PKEY* key, const std::string& name, std::chrono::seconds lifetime) {
  Certificate certificate(X509_new());
  const Number serial(BN_new());
  if (!certificate || !serial ||
      BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) == nullptr ||
      X509_set_version(certificate.get(), kVersion3) != 1 || X509_set_pubkey(certificate.get(), key) != 1) {
    return openssl::Error("make a certificate");
  }
  const auto backdate = std::min<std::chrono::seconds>(kMostBackdate, lifetime / 10);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -backdate.count());
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), lifetime.count());
  PROV_RETURN_IF_ERROR(SetCommonName(certificate.get(), name));
  return certificate;
}

absl::Status CheckSubject(const Authority::Subject& subject) {
  if (!ParseIdentity(subject.identity).ok()) {
    return InvalidField("identity",
                        "must be prov://role/name, such as prov://agent/store1 or prov://helpdesk/mary");
  }
  for (const std::string& name : subject.dns_names) {
    // It goes into OpenSSL's extension syntax, where a comma or a line end would start something else.
    constexpr std::string_view kOctets = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    if (name.empty() || name.size() > kMaxDomainOctets ||
        name.find_first_not_of(kOctets) != std::string::npos) {
      return InvalidField("dns", fmt::format("\"{}\" is not a host name in lower case", name.substr(0, 60)));
    }
  }
  for (const std::string& address : subject.ip_addresses) {
    unsigned char octets[sizeof(in6_addr)];
    if (inet_pton(AF_INET, address.c_str(), octets) != 1 &&
        inet_pton(AF_INET6, address.c_str(), octets) != 1) {
      return InvalidField("ip", fmt::format("\"{}\" is not an IP address", address.substr(0, 60)));
    }
  }
  if (subject.lifetime < kLeastLifetime || subject.lifetime > kCaLifetime) {
    return InvalidField("lifetime", "must be from 10s to 3650d");
  }
  return absl::OkStatus();
}

std::string AlternativeNames(const Authority::Subject& subject) {
  std::string names = "URI:" + subject.identity;
  for (const std::string& name : subject.dns_names) names += ",DNS:" + name;
  for (const std::string& address : subject.ip_addresses) names += ",IP:" + address;
  return names;
}

std::string CertificatePath(const std::string& directory) { return directory + "/ca.pem"; }
std::string KeyPath(const std::string& directory) { return directory + "/ca.key"; }

}  // namespace

bool Authority::Exists(const std::string& directory) { return access(KeyPath(directory).c_str(), F_OK) == 0; }

absl::Status Authority::Create(const std::string& directory) {
  if (Exists(directory)) {
    return absl::AlreadyExistsError(fmt::format("{} has a CA already; it is not overwritten", directory));
  }
  PROV_RETURN_IF_ERROR(EnsureDirectory(directory, 0700));
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl::Error("make a key");
  PROV_ASSIGN_OR_RETURN(const Certificate certificate, Draft(key.get(), "prov CA", kCaLifetime));
  X509* const ca = certificate.get();
  if (X509_set_issuer_name(ca, X509_get_subject_name(ca)) != 1) return openssl::Error("name the CA");
  PROV_RETURN_IF_ERROR(AddExtension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  PROV_RETURN_IF_ERROR(AddExtension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign"));
  PROV_RETURN_IF_ERROR(AddExtension(ca, ca, NID_subject_key_identifier, "hash"));
  if (X509_sign(ca, key.get(), EVP_sha256()) == 0) return openssl::Error("sign the CA");
  PROV_ASSIGN_OR_RETURN(const std::string certificate_pem, ToPem(ca));
  PROV_ASSIGN_OR_RETURN(const std::string key_pem, ToPem(key.get()));
  // The key last: with it, the CA is complete.
  PROV_RETURN_IF_ERROR(ReplaceFile(CertificatePath(directory), certificate_pem, 0644));
  return ReplaceFile(KeyPath(directory), key_pem, 0600);
}

absl::StatusOr<Authority> Authority::Load(const std::string& directory) {
  PROV_ASSIGN_OR_RETURN(std::string certificate, ReadFile(CertificatePath(directory), kMaxPemOctets));
  PROV_ASSIGN_OR_RETURN(std::string key, ReadFile(KeyPath(directory), kMaxPemOctets));
  PROV_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(certificate));
  if (!IsCertificateOfKey(certificate, key)) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not the key of {}", KeyPath(directory), CertificatePath(directory)));
  }
  return Authority(std::move(certificate), std::move(key), facts.fingerprint);
}

absl::StatusOr<std::string> Authority::SignKey(const Subject& subject, EVP_PKEY* key) const {
  PROV_RETURN_IF_ERROR(CheckSubject(subject));
  const Bio certificate_bio(
      BIO_new_mem_buf(certificate_pem_.data(), static_cast<int>(certificate_pem_.size())));
  const Bio key_bio(BIO_new_mem_buf(key_pem_.data(), static_cast<int>(key_pem_.size())));
  const Certificate ca(PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr));
  const Key ca_key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  if (!ca || !ca_key) return openssl::Error("read the CA");

  PROV_ASSIGN_OR_RETURN(const Certificate certificate, Draft(key, subject.identity, subject.lifetime));
  X509* const leaf = certificate.get();
  if (X509_set_issuer_name(leaf, X509_get_subject_name(ca.get())) != 1) {
    return openssl::Error("name the issuer");
  }
  // Hosts serve each other (mailbox moves), and are known by their identity there, not by a name or an
  // address.
  const bool serves = !subject.dns_names.empty() || !subject.ip_addresses.empty() ||
                      subject.identity.starts_with("prov://agent/");
  PROV_RETURN_IF_ERROR(AddExtension(leaf, ca.get(), NID_basic_constraints, "critical,CA:FALSE"));
  PROV_RETURN_IF_ERROR(AddExtension(leaf, ca.get(), NID_key_usage, "critical,digitalSignature"));
  PROV_RETURN_IF_ERROR(
      AddExtension(leaf, ca.get(), NID_ext_key_usage, serves ? "serverAuth,clientAuth" : "clientAuth"));
  PROV_RETURN_IF_ERROR(AddExtension(leaf, ca.get(), NID_subject_key_identifier, "hash"));
  PROV_RETURN_IF_ERROR(AddExtension(leaf, ca.get(), NID_authority_key_identifier, "keyid:always"));
  PROV_RETURN_IF_ERROR(AddExtension(leaf, ca.get(), NID_subject_alt_name, AlternativeNames(subject)));
  if (X509_sign(leaf, ca_key.get(), EVP_sha256()) == 0) return openssl::Error("sign a certificate");
  return ToPem(leaf);
}

absl::StatusOr<Authority::Issued> Authority::Issue(const Subject& subject) const {
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl::Error("make a key");
  Issued issued;
  PROV_ASSIGN_OR_RETURN(issued.certificate_pem, SignKey(subject, key.get()));
  PROV_ASSIGN_OR_RETURN(issued.key_pem, ToPem(key.get()));
  return issued;
}

absl::StatusOr<std::string> Authority::Sign(const Subject& subject, const RequestedKey& requested) const {
  const auto* at = reinterpret_cast<const unsigned char*>(requested.public_key_der.data());
  const Key key(d2i_PUBKEY(nullptr, &at, static_cast<long>(requested.public_key_der.size())));
  if (!key) return openssl::Error("read a public key");
  return SignKey(subject, key.get());
}

}  // namespace prov::enrol
