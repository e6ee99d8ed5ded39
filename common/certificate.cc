#include "common/certificate.h"

#include <openssl/ec.h>
#include <openssl/pem.h>

#include <ctime>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "common/openssl_handles.h"
#include "common/status.h"

namespace prov {
namespace {

using openssl::Bio;
using openssl::Certificate;
using openssl::Key;

struct NamesFreer {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
struct OctetsFreer {
  void operator()(char* octets) const { OPENSSL_free(octets); }
};

// A PEM file that asks for a pass phrase must fail, not ask on the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

Bio BioOf(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

Certificate NextCertificate(BIO* bio) {
  return Certificate(PEM_read_bio_X509(bio, nullptr, NoPassphrase, nullptr));
}

Key KeyOf(std::string_view pem) {
  const Bio bio = BioOf(pem);
  return Key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
}

std::string Hexadecimal(const unsigned char* octets, size_t size) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(octets), size));
}

std::optional<std::string> Fingerprint(X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return std::nullopt;
  return Hexadecimal(digest, size);
}

std::optional<std::string> Serial(X509* certificate) {
  const openssl::Number number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (!number) return std::nullopt;
  const std::unique_ptr<char, OctetsFreer> text(BN_bn2hex(number.get()));
  if (!text) return std::nullopt;
  std::string serial = text.get();
  absl::AsciiStrToLower(&serial);
  return serial;
}

std::optional<std::chrono::system_clock::time_point> TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return std::chrono::system_clock::from_time_t(timegm(&parts));
}

std::string UriName(X509* certificate) {
  const std::unique_ptr<GENERAL_NAMES, NamesFreer> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return "";
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* const uri = name->d.uniformResourceIdentifier;
    return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                       static_cast<size_t>(ASN1_STRING_length(uri)));
  }
  return "";
}

}  // namespace

absl::StatusOr<CertificateFacts> ReadCertificate(std::string_view pem) {
  const auto unreadable = absl::InvalidArgumentError("not a certificate in PEM form");
  if (pem.size() > kMaxPemOctets) return unreadable;
  const Bio bio = BioOf(pem);
  const Certificate certificate = NextCertificate(bio.get());
  ERR_clear_error();
  if (!certificate) return unreadable;
  const auto serial = Serial(certificate.get());
  const auto fingerprint = Fingerprint(certificate.get());
  const auto not_before = TimeOf(X509_get0_notBefore(certificate.get()));
  const auto not_after = TimeOf(X509_get0_notAfter(certificate.get()));
  ERR_clear_error();
  if (!serial || !fingerprint || !not_before || !not_after) return unreadable;
  return CertificateFacts{*serial, *fingerprint, UriName(certificate.get()), *not_before, *not_after};
}

bool HoldsFingerprint(std::string_view pem, std::string_view fingerprint) {
  if (pem.size() > kMaxPemOctets) return false;
  const Bio bio = BioOf(pem);
  bool found = false;
  while (const Certificate certificate = NextCertificate(bio.get())) {
    found = found || Fingerprint(certificate.get()) == fingerprint;
  }
  ERR_clear_error();  // the end of the text is one
  return found;
}

bool IsCertificateOfKey(std::string_view certificate_pem, std::string_view key_pem) {
  const Bio bio = BioOf(certificate_pem);
  const Certificate certificate = NextCertificate(bio.get());
  const Key key = KeyOf(key_pem);
  const bool matches = certificate && key && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  return matches;
}

absl::StatusOr<std::string> MakeKey() {
  const Key key(EVP_EC_gen("P-256"));
  const Bio bio(BIO_new(BIO_s_secmem()));
  if (!key || !bio ||
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl::Error("make a key");
  }
  return openssl::Written(bio.get());
}

absl::StatusOr<std::string> MakeCertificateRequest(std::string_view key_pem) {
  const Key key = KeyOf(key_pem);
  if (!key) return openssl::Error("read a key");
  const openssl::Request request(X509_REQ_new());
  constexpr long kVersion1 = 0;  // RFC 2986 section 4.1
  if (!request || X509_REQ_set_version(request.get(), kVersion1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0) {
    return openssl::Error("make a certificate request");
  }
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || i2d_X509_REQ_bio(bio.get(), request.get()) != 1) {
    return openssl::Error("write a certificate request");
  }
  return openssl::Written(bio.get());
}

}  // namespace prov
