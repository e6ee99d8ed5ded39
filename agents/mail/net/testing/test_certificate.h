// A certificate that vouches for itself, for tests.
#pragma once

#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <string>

#include "agents/mail/net/tls_server.h"
#include "common/openssl_handles.h"

namespace prov::net {

// Writes DIRECTORY/NAME.pem, with the key in the same file, over what is there. `names`: subject alternative
// names as OpenSSL's configuration has them; NAME alone unless given. `common_name`: the subject's, if any.
inline CertificateFiles WriteTestCertificate(const std::string& directory, const std::string& name,
                                             const std::string& names = "",
                                             const std::string& common_name = "") {
  const std::string path = directory + "/" + name + ".pem";
  const openssl::Key key(EVP_EC_gen("P-256"));
  const openssl::Certificate certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  if (!common_name.empty()) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  }
  X509_set_pubkey(certificate.get(), key.get());
  const openssl::Extension extension(X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name,
                                                         (names.empty() ? "DNS:" + name : names).c_str()));
  X509_add_ext(certificate.get(), extension.get(), -1);
  EXPECT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
  const openssl::Bio file(BIO_new_file((path + ".new").c_str(), "w"));
  EXPECT_EQ(PEM_write_bio_X509(file.get(), certificate.get()), 1);
  EXPECT_EQ(PEM_write_bio_PrivateKey(file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
  BIO_flush(file.get());
  EXPECT_EQ(rename((path + ".new").c_str(), path.c_str()), 0);
  return {path, path};
}

}  // namespace prov::net
