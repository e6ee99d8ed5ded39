#include "server/enrol/certificate_request.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "common/certificate.h"
#include "common/openssl_handles.h"
#include "common/status.h"
#include "server/enrol/authority.h"

namespace prov::enrol {
namespace {

using openssl::Bio;
using openssl::Key;
using openssl::Request;

// A request for `key`, signed with `signer`.
std::string RequestFor(EVP_PKEY* key, EVP_PKEY* signer) {
  const Request request(X509_REQ_new());
  EXPECT_EQ(X509_REQ_set_pubkey(request.get(), key), 1);
  const bool ed25519 = EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519;
  EXPECT_GT(X509_REQ_sign(request.get(), signer, ed25519 ? nullptr : EVP_sha256()), 0);
  const Bio bio(BIO_new(BIO_s_mem()));
  EXPECT_EQ(i2d_X509_REQ_bio(bio.get(), request.get()), 1);
  return openssl::Written(bio.get());
}
std::string RequestFor(const Key& key) { return RequestFor(key.get(), key.get()); }

void ExpectRefused(const std::string& der, std::string_view why) {
  const auto checked = CheckCertificateRequest(der);
  ASSERT_TRUE(absl::IsInvalidArgument(checked.status())) << checked.status();
  const auto violations = ViolationsOf(checked.status());
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].field, "certificate_request_der");
  EXPECT_NE(violations[0].description.find(why), std::string::npos) << violations[0].description;
}

TEST(CertificateRequest, TakesTheKeysThatAreSoundAndNoOthers) {
  EXPECT_TRUE(CheckCertificateRequest(RequestFor(Key(EVP_EC_gen("P-256")))).ok());
  EXPECT_TRUE(CheckCertificateRequest(RequestFor(Key(EVP_EC_gen("P-384")))).ok());
  EXPECT_TRUE(CheckCertificateRequest(RequestFor(Key(EVP_RSA_gen(2048)))).ok());
  EXPECT_TRUE(CheckCertificateRequest(RequestFor(Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")))).ok());
  ExpectRefused(RequestFor(Key(EVP_RSA_gen(1024))), "its key must be");
  ExpectRefused(RequestFor(Key(EVP_EC_gen("secp256k1"))), "its key must be");
  ExpectRefused(RequestFor(Key(EVP_EC_gen("P-224"))), "its key must be");
}

TEST(CertificateRequest, MustBeSignedWithItsOwnKey) {
  const Key own(EVP_EC_gen("P-256"));
  const Key other(EVP_EC_gen("P-256"));
  ExpectRefused(RequestFor(own.get(), other.get()), "not signed with its own key");
}

TEST(CertificateRequest, EveryChangedOctetIsNoticed) {
  const std::string good = RequestFor(Key(EVP_EC_gen("P-256")));
  const auto expected = CheckCertificateRequest(good);
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(CheckCertificateRequest(changed).ok()) << "octet " << i;
  }
}

TEST(CertificateRequest, IsOneWholeRequestOfBoundedSize) {
  const std::string good = RequestFor(Key(EVP_EC_gen("P-256")));
  ExpectRefused("", "is required");
  for (size_t length = 1; length < good.size(); ++length) {
    EXPECT_FALSE(CheckCertificateRequest(good.substr(0, length)).ok()) << length;
  }
  ExpectRefused(good + '\0', "is not a certificate request");
  ExpectRefused(std::string(kMaxCertificateRequestOctets + 1, '0'), "longer than");
}

TEST(CertificateRequest, AgentsAndCallersMakeWhatIsTaken) {
  const auto key = MakeKey();
  ASSERT_TRUE(key.ok()) << key.status();
  const auto request = MakeCertificateRequest(*key);
  ASSERT_TRUE(request.ok()) << request.status();
  const auto checked = CheckCertificateRequest(*request);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->hash.size(), 32u);
}

// The subject of a request is whatever its sender likes.
TEST(CertificateRequest, CertificateIsForTheIdentityThatTheCaWasTold) {
  char name[] = "/tmp/request.XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string directory = std::string(name) + "/ca";
  ASSERT_TRUE(Authority::Create(directory).ok());
  const auto authority = Authority::Load(directory);
  ASSERT_TRUE(authority.ok()) << authority.status();

  const Key key(EVP_EC_gen("P-256"));
  const Request request(X509_REQ_new());
  X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("prov://operator/root"), -1, -1, 0);
  ASSERT_EQ(X509_REQ_set_pubkey(request.get(), key.get()), 1);
  ASSERT_GT(X509_REQ_sign(request.get(), key.get(), EVP_sha256()), 0);
  const Bio bio(BIO_new(BIO_s_mem()));
  ASSERT_EQ(i2d_X509_REQ_bio(bio.get(), request.get()), 1);
  const auto checked = CheckCertificateRequest(openssl::Written(bio.get()));
  ASSERT_TRUE(checked.ok()) << checked.status();

  const auto pem =
      authority->Sign({.identity = "prov://agent/store1", .lifetime = std::chrono::hours(1)}, *checked);
  ASSERT_TRUE(pem.ok()) << pem.status();
  const auto facts = ReadCertificate(*pem);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->identity, "prov://agent/store1");
  EXPECT_EQ(pem->find("operator"), std::string::npos);
  std::filesystem::remove_all(name);
}

}  // namespace
}  // namespace prov::enrol
