// Certificates and whom to trust no longer, against a real PostgreSQL.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <pqxx/pqxx>
#include <thread>

#include "common/status.h"
#include "server/store/certificate_repository.h"
#include "server/store/fleet_repository.h"
#include "server/store/migrations.h"
#include "server/store/store_fixture.h"
#include "server/store/trust_postgres.h"
#include "server/store/write_queue.h"

namespace prov::store {
namespace {

using std::chrono::hours;
using std::chrono::system_clock;

class TrustTest : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    trust_ = std::make_unique<PostgresTrust>(postgres_->connection());
    ASSERT_TRUE(trust_->Refresh().ok());
    AddPool("main");
    AddHost("store1", "main");
    AddHost("store2", "main");
  }

  void Write(const std::function<void(WriteTransaction&)>& body) {
    const auto result = StoreFixture::Write([&](WriteTransaction& write) {
      body(write);
      return absl::StatusOr<WriteResult>(WriteResult());
    });
    ASSERT_TRUE(result.ok()) << result.status();
  }

  void Issue(const std::string& identity, const std::string& serial,
             system_clock::duration lifetime = hours(1)) {
    Write([&](WriteTransaction& write) {
      CertificateRepository::Record(write, {.serial = serial,
                                            .identity = identity,
                                            .issued_by = "operator/test",
                                            .expire_time = system_clock::now() + lifetime});
    });
  }

  bool Trusted(const std::string& identity, const std::string& serial) {
    EXPECT_TRUE(trust_->Refresh().ok());
    return trust_->Check(identity, serial).ok();
  }

  std::optional<std::string> UseToken(const std::string& hash, const std::string& key) {
    std::optional<std::string> host;
    Write([&](WriteTransaction& write) { host = CertificateRepository::UseToken(write, hash, key); });
    return host;
  }

  std::unique_ptr<PostgresTrust> trust_;
};

TEST_F(TrustTest, WhatNobodyTookAwayIsBelieved) {
  EXPECT_TRUE(Trusted("operator/admin", "aa"));  // not on record: made by `provd ca issue`
  Issue("helpdesk/mary", "bb");
  EXPECT_TRUE(Trusted("helpdesk/mary", "bb"));
}

TEST_F(TrustTest, RevokedSerialIsRefusedWhoeverShowsIt) {
  Issue("helpdesk/mary", "bb");
  Write([](WriteTransaction& write) {
    CertificateRepository::Revoke(write, "bb", "lost");
    CertificateRepository::Revoke(write, "bb", "again");
    CertificateRepository::Revoke(write, "ee", "not on record");
  });
  EXPECT_FALSE(Trusted("helpdesk/mary", "bb"));
  EXPECT_FALSE(Trusted("operator/admin", "ee"));
  EXPECT_TRUE(Trusted("helpdesk/mary", "cc"));
  EXPECT_EQ(ReasonOf(trust_->Check("helpdesk/mary", "bb")), "CERTIFICATE_REVOKED");
  Write([](WriteTransaction& write) {
    EXPECT_FALSE(CertificateRepository::CheckNotRevoked(write, "bb").ok());
    EXPECT_TRUE(CertificateRepository::CheckNotRevoked(write, "cc").ok());
  });
}

TEST_F(TrustTest, EvictionTakesAllThatWereAndNoneThatCome) {
  Issue("agent/store1", "01");
  Issue("agent/store2", "02");
  Write(
      [](WriteTransaction& write) { CertificateRepository::RevokeAllOf(write, "agent/store1", "evicted"); });
  EXPECT_FALSE(Trusted("agent/store1", "01"));
  EXPECT_FALSE(Trusted("agent/store1", "99")) << "one that is not on record";
  EXPECT_TRUE(Trusted("agent/store2", "02"));
  Issue("agent/store1", "03");
  EXPECT_TRUE(Trusted("agent/store1", "03"));
  EXPECT_FALSE(Trusted("agent/store1", "01"));
  Write([](WriteTransaction& write) { CertificateRepository::RevokeAllOf(write, "agent/store1", "again"); });
  EXPECT_FALSE(Trusted("agent/store1", "03"));
}

// Another provd wrote: this one is told by nobody.
TEST_F(TrustTest, WatchFindsOutByItself) {
  trust_->Start();
  Write([](WriteTransaction& write) { CertificateRepository::Revoke(write, "bb", "lost"); });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (trust_->Check("helpdesk/mary", "bb").ok() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_FALSE(trust_->Check("helpdesk/mary", "bb").ok());
}

TEST_F(TrustTest, WithTheDatabaseAwayWhatWasKnownStaysKnown) {
  Write([](WriteTransaction& write) { CertificateRepository::Revoke(write, "bb", "lost"); });
  ASSERT_FALSE(Trusted("helpdesk/mary", "bb"));
  {
    pqxx::connection connection(postgres_->connection());
    pqxx::work work(connection);
    work.exec("ALTER TABLE prov.trust RENAME TO trust_away");
    work.commit();
  }
  EXPECT_FALSE(trust_->Refresh().ok());
  EXPECT_FALSE(trust_->Check("helpdesk/mary", "bb").ok());
  EXPECT_TRUE(trust_->Check("helpdesk/mary", "cc").ok());
}

TEST_F(TrustTest, TokenIsForOneHostOneKeyAndATime) {
  const std::string hash("\x00\xff hash", 7), key("\x00 key", 5), other("\x01 key", 5);
  Write([&](WriteTransaction& write) {
    CertificateRepository::SetToken(write, hash, "store1", system_clock::now() + hours(1));
  });
  EXPECT_EQ(UseToken("unknown", key), std::nullopt);
  EXPECT_EQ(UseToken(hash, key), "store1");
  EXPECT_EQ(UseToken(hash, other), std::nullopt);
  EXPECT_EQ(UseToken(hash, key), "store1") << "the same key again is a retry";

  Write([&](WriteTransaction& write) {
    CertificateRepository::SetToken(write, "second", "store1", system_clock::now() + hours(1));
    CertificateRepository::SetToken(write, "late", "store2", system_clock::now() - std::chrono::seconds(1));
  });
  EXPECT_EQ(UseToken(hash, key), std::nullopt) << "a host has one token";
  EXPECT_EQ(UseToken("late", key), std::nullopt);
  Write([](WriteTransaction& write) { CertificateRepository::ForgetToken(write, "store1"); });
  EXPECT_EQ(UseToken("second", key), std::nullopt);
}

TEST_F(TrustTest, CertificatesAreListedNewestFirstInPages) {
  CertificateRepository certificates(*pool_);
  for (const char* serial : {"01", "02", "03"}) Issue("agent/store1", serial);
  Issue("agent/store2", "04");
  Write([](WriteTransaction& write) { CertificateRepository::Revoke(write, "02", "lost"); });
  auto page = certificates.List("agent/store1", 0, "", 2);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->size(), 2u);
  EXPECT_EQ((*page)[0].serial, "03");
  EXPECT_FALSE((*page)[0].revoke_time);
  EXPECT_EQ((*page)[1].serial, "02");
  EXPECT_EQ((*page)[1].revoke_reason, "lost");
  const auto last =
      std::chrono::duration_cast<std::chrono::microseconds>((*page)[1].issue_time.time_since_epoch());
  page = certificates.List("agent/store1", last.count(), "02", 2);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->size(), 1u);
  EXPECT_EQ((*page)[0].serial, "01");
  EXPECT_EQ(certificates.List("", 0, "", 10)->size(), 4u);
}

TEST_F(TrustTest, LongExpiredOnesAreForgotten) {
  Issue("agent/store1", "01", -hours(31 * 24));
  Issue("agent/store1", "02");
  CertificateRepository certificates(*pool_);
  EXPECT_EQ(certificates.List("agent/store1", 0, "", 10)->size(), 1u);
}

}  // namespace
}  // namespace prov::store
