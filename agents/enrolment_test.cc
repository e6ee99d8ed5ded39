#include "agents/enrolment.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>

#include "agents/certificate_files.h"
#include "agents/renewal.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/status.h"
#include "server/enrol/authority.h"

namespace prov {
namespace {

using std::chrono::hours;
using std::chrono::system_clock;

TEST(RenewalTime, IsAboutTwoThirdsIntoItsLifeAndNeverLate) {
  CertificateFacts certificate;
  certificate.not_before = system_clock::time_point(hours(1000));
  certificate.not_after = certificate.not_before + hours(300);
  const auto earliest = RenewalTime(certificate, 0);
  system_clock::time_point latest = earliest;
  for (uint64_t random = 1; random < 1'000'000'000; random = random * 7 + 3) {
    latest = std::max(latest, RenewalTime(certificate, random));
    EXPECT_GE(RenewalTime(certificate, random), earliest);
  }
  EXPECT_EQ(earliest, certificate.not_before + hours(185));
  EXPECT_LE(latest, certificate.not_before + hours(215));
  EXPECT_GT(latest, certificate.not_before + hours(205))
      << "hosts that enrolled together must not come together";
}

TEST(RenewalTime, CopesWithACertificateOfNoLifeAtAll) {
  CertificateFacts certificate;
  certificate.not_before = certificate.not_after = system_clock::time_point(hours(1000));
  EXPECT_EQ(RenewalTime(certificate, 12345), certificate.not_before);
}

TEST(EnrolmentToken, IsASecretAndAFingerprint) {
  const std::string secret(64, 'a'), fingerprint(64, '7');
  const auto token = ParseEnrolmentToken("  " + secret + "." + fingerprint + "\r\n");
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->whole, secret + "." + fingerprint);
  EXPECT_EQ(token->ca_fingerprint, fingerprint);
  for (const std::string& wrong :
       {std::string(), secret, secret + ".", secret + "." + fingerprint + "7",
        secret + "." + secret + "." + secret, secret + "." + std::string(64, 'g')}) {
    const auto refused = ParseEnrolmentToken(wrong);
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
    EXPECT_EQ(MessageOf(refused.status()).find("aaaa"), std::string_view::npos) << "a secret in an error";
  }
}

class CertificateFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/files.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    files_ = {directory_ + "/ca.pem", directory_ + "/agent.pem", directory_ + "/agent.key"};
    ASSERT_TRUE(enrol::Authority::Create(directory_ + "/ca").ok());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // A certificate for the key, as provd would give.
  std::string CertificateFor(const std::string& key) {
    const auto authority = enrol::Authority::Load(directory_ + "/ca");
    const auto requested = enrol::CheckCertificateRequest(*MakeCertificateRequest(key));
    EXPECT_TRUE(requested.ok()) << requested.status();
    const auto pem = authority->Sign({.identity = "prov://agent/store1"}, *requested);
    EXPECT_TRUE(pem.ok()) << pem.status();
    return *pem;
  }

  bool FilesBelongTogether() const {
    return IsCertificateOfKey(*ReadFile(files_.certificate, kMaxPemOctets),
                              *ReadFile(files_.key, kMaxPemOctets));
  }

  std::string directory_;
  AgentConfig::Tls files_;
};

TEST_F(CertificateFilesTest, NextKeyIsSecretAndStaysTheSameUntilItIsUsed) {
  const auto key = NextKey(files_);
  ASSERT_TRUE(key.ok()) << key.status();
  struct stat info {};
  ASSERT_EQ(stat((files_.key + ".next").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(*NextKey(files_), *key);
  ASSERT_TRUE(AdoptCertificate(files_, CertificateFor(*key)).ok());
  EXPECT_TRUE(FilesBelongTogether());
  EXPECT_NE(*NextKey(files_), *key);
}

TEST_F(CertificateFilesTest, AnotherKeysCertificateIsNotAdopted) {
  ASSERT_TRUE(AdoptCertificate(files_, CertificateFor(*NextKey(files_))).ok());
  const auto before = ReadOwnCertificate(files_);
  ASSERT_TRUE(NextKey(files_).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(AdoptCertificate(files_, CertificateFor(*MakeKey()))));
  EXPECT_EQ(ReadOwnCertificate(files_)->serial, before->serial);
  EXPECT_TRUE(FilesBelongTogether());
}

TEST_F(CertificateFilesTest, ACutAnywhereLeavesAPairThatBelongsTogether) {
  ASSERT_TRUE(AdoptCertificate(files_, CertificateFor(*NextKey(files_))).ok());
  // Cut before the certificate came: the old pair stays.
  const std::string next = *NextKey(files_);
  ASSERT_TRUE(FinishAdoption(files_).ok());
  EXPECT_TRUE(FilesBelongTogether());
  // Cut between the two files: the new pair is completed.
  ASSERT_TRUE(ReplaceFile(files_.certificate, CertificateFor(next), 0644).ok());
  EXPECT_FALSE(FilesBelongTogether());
  ASSERT_TRUE(FinishAdoption(files_).ok());
  EXPECT_TRUE(FilesBelongTogether());
  EXPECT_EQ(*ReadFile(files_.key, kMaxPemOctets), next);
}

TEST_F(CertificateFilesTest, ANextKeyThatWasTornIsReplaced) {
  ASSERT_TRUE(ReplaceFile(files_.key + ".next", "-----BEGIN PRIVATE KEY-----\nMIG", 0600).ok());
  const auto key = NextKey(files_);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_TRUE(MakeCertificateRequest(*key).ok());
}

class SetClock final : public Clock {
 public:
  system_clock::time_point Now() const override { return system_clock::now() + off.load(); }
  std::chrono::steady_clock::time_point Monotonic() const override {
    return std::chrono::steady_clock::now() + waited.load();
  }
  std::atomic<hours> off{hours(0)};     // what is shown is wrong by so much
  std::atomic<hours> waited{hours(0)};  // what really went by
};

// A host whose clock was years ahead when it started, and was corrected then: it must not wait for those
// years.
TEST_F(CertificateFilesTest, ARenewalThatFailedUnderAWrongClockIsTriedAgainUnderTheRightOne) {
  ASSERT_TRUE(AdoptCertificate(files_, CertificateFor(*NextKey(files_))).ok());
  SetClock clock;
  clock.off = hours(24 * 365 * 5);
  CertificateRenewal renewal({files_, {"127.0.0.1:1"}, {}}, clock);
  const auto failed = [&](uint64_t times) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (renewal.health().failures < times) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      poll(nullptr, 0, 10);
    }
    return true;
  };
  ASSERT_TRUE(failed(1));
  clock.off = hours(24 * 80);  // of 90: it is time
  clock.waited = hours(1);
  EXPECT_TRUE(failed(2));
}

}  // namespace
}  // namespace prov
