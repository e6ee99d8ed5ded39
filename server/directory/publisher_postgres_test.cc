// The whole way: a write in PostgreSQL, its notification, the change log, a real slapd.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "common/ldap/connection.h"
#include "common/status.h"
#include "server/directory/publisher.h"
#include "server/directory/verifier.h"
#include "server/store/domain_repository.h"
#include "server/store/fleet_repository.h"
#include "server/store/migrations.h"
#include "server/store/publisher_turn_postgres.h"
#include "server/store/read_snapshot_postgres.h"
#include "server/store/revision_watch_postgres.h"
#include "server/store/subscriber_repository.h"
#include "server/store/write_queue.h"
#include "tests/fixtures/postgres.h"
#include "tests/fixtures/slapd.h"

namespace prov::directory {
namespace {

using store::SubscriberRepository;
using store::WriteResult;
using store::WriteTransaction;

constexpr std::chrono::seconds kPatience{60};

class PublisherPostgresTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto postgres = prov::testing::Postgres::Start();
    ASSERT_TRUE(postgres.ok()) << postgres.status();
    postgres_ = std::move(*postgres);
    auto slapd = prov::testing::Slapd::Start();
    ASSERT_TRUE(slapd.ok()) << slapd.status();
    slapd_ = std::move(*slapd);
    ASSERT_TRUE(store::Migrate(postgres_->connection()).ok());
    pool_ = std::make_unique<store::ConnectionPool>(postgres_->connection(), 8);
    writes_ = std::make_unique<store::WriteQueue>(*pool_);
    snapshots_ = std::make_unique<store::PostgresSnapshotSource>(*pool_);
    watch_ = std::make_unique<store::PostgresRevisionWatch>(postgres_->connection());
    turn_ = store::MakePostgresPublisherTurn(postgres_->connection());
    options_.uri = slapd_->ldapi();
    options_.base = slapd_->base();
    options_.bind_dn = slapd_->ServiceDn("publisher");
    options_.password = slapd_->ServicePassword("publisher");
    options_.longest_backoff = std::chrono::milliseconds(200);
    Write([](WriteTransaction& write) {
      model::Pool pool;
      pool.id = "main";
      return store::FleetRepository::InsertPool(write, pool).status();
    });
    Write([](WriteTransaction& write) {
      model::Domain domain;
      domain.name = "example.net";
      return store::DomainRepository::Insert(write, domain).status();
    });
  }

  void TearDown() override {
    publisher_.reset();
    if (watch_ != nullptr) watch_->Stop();
  }

  // The revision of the write.
  uint64_t Write(const std::function<absl::Status(WriteTransaction&)>& body) {
    store::WriteContext context;
    context.caller = "operator/test";
    context.method = "/prov.v1.Test/Write";
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    for (;;) {
      const auto result = writes_->Run(context, [&](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
        PROV_RETURN_IF_ERROR(body(write));
        return WriteResult();
      });
      if (result.ok()) return result->revision;
      // The first one after the database was killed finds that out.
      if (absl::IsUnavailable(result.status()) && std::chrono::steady_clock::now() < deadline) continue;
      ADD_FAILURE() << result.status();
      return 0;
    }
  }

  uint64_t Add(const std::string& login) {
    return Write([&](WriteTransaction& write) {
      model::Subscriber subscriber;
      subscriber.login = login;
      subscriber.display_name = "Ålice \xE2\x98\x83";
      subscriber.store_pool = "main";
      subscriber.password_hash = "secret";
      return SubscriberRepository::Insert(write, subscriber).status();
    });
  }

  uint64_t SetState(const std::string& login, model::State state) {
    return Write([&](WriteTransaction& write) -> absl::Status {
      PROV_ASSIGN_OR_RETURN(model::Subscriber subscriber, SubscriberRepository::Find(write, login));
      subscriber.state = state;
      return SubscriberRepository::Save(write, subscriber).status();
    });
  }

  void Start() {
    publisher_ = std::make_unique<Publisher>(*snapshots_, *watch_, *turn_, options_);
    ASSERT_TRUE(publisher_->Start().ok());
  }

  void ExpectApplied(uint64_t revision) {
    EXPECT_GE(publisher_->WaitApplied(revision, kPatience), revision) << publisher_->GetStatus().cause;
  }

  void ExpectNoDifference(uint64_t entries) {
    const auto result = VerifyDirectory(*snapshots_, options_);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->entries_compared, entries);
    EXPECT_EQ(result->differing, 0u);
  }

  absl::Status Login(const std::string& login) {
    auto connection = ldap::Connection::Open({.uri = slapd_->ldapi()});
    if (!connection.ok()) return connection.status();
    return (*connection)->Bind("uid=" + login + ",ou=people,o=prov", "secret");
  }

  bool IsMailAddress(const std::string& address) {
    auto connection = ldap::Connection::Open({.uri = slapd_->ldapi()});
    EXPECT_TRUE((*connection)->Bind(slapd_->ServiceDn("mail"), slapd_->ServicePassword("mail")).ok());
    const auto found = (*connection)
                           ->Search({.base = "o=prov",
                                     .filter = ldap::Filter::Equal("mailLocalAddress", address),
                                     .attributes = {"uid"}});
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() && !found->empty();
  }

  std::unique_ptr<prov::testing::Postgres> postgres_;
  std::unique_ptr<prov::testing::Slapd> slapd_;
  std::unique_ptr<store::ConnectionPool> pool_;
  std::unique_ptr<store::WriteQueue> writes_;
  std::unique_ptr<store::PostgresSnapshotSource> snapshots_;
  std::unique_ptr<store::PostgresRevisionWatch> watch_;
  std::unique_ptr<store::PublisherTurn> turn_;
  Publisher::Options options_;
  std::unique_ptr<Publisher> publisher_;
};

TEST_F(PublisherPostgresTest, DirectoryFollowsTheDatabase) {
  Start();
  ExpectApplied(Add("alice@example.net"));
  EXPECT_TRUE(Login("alice@example.net").ok());
  ExpectApplied(SetState("alice@example.net", model::State::kSuspended));
  EXPECT_EQ(Login("alice@example.net").code(), absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE(IsMailAddress("alice@example.net"));

  // A domain's word about its suspended subscribers' mail reaches their entries.
  ExpectApplied(Write([](WriteTransaction& write) -> absl::Status {
    PROV_ASSIGN_OR_RETURN(model::Domain domain, store::DomainRepository::Find(write, "example.net"));
    domain.suspended_mail = model::SuspendedMail::kReject;
    return store::DomainRepository::Save(write, domain, true).status();
  }));
  EXPECT_FALSE(IsMailAddress("alice@example.net"));

  ExpectApplied(SetState("alice@example.net", model::State::kActive));
  EXPECT_TRUE(Login("alice@example.net").ok());
  ExpectNoDifference(2);
  ExpectApplied(SetState("alice@example.net", model::State::kClosed));
  EXPECT_EQ(Login("alice@example.net").code(), absl::StatusCode::kUnauthenticated);
  ExpectNoDifference(1);
}

TEST_F(PublisherPostgresTest, BothServersMayBeKilledAtAnyMoment) {
  options_.batch_entries = 5;
  Start();
  constexpr int kWriters = 4;
  constexpr int kEach = 100;
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([this, w] {
      for (int i = 0; i < kEach; ++i) Add(fmt::format("u{}-{}@example.net", w, i));
    });
  }
  // The database stays while they write, for their own sake.
  for (int kill = 1; kill <= 4; ++kill) {
    publisher_->WaitApplied(static_cast<uint64_t>(kill * 60), kPatience);
    publisher_->WaitApplied(UINT64_MAX,
                            std::chrono::milliseconds(3 * kill));  // at a different moment each time
    slapd_->Kill();
    ASSERT_TRUE(slapd_->StartAgain().ok());
  }
  for (std::thread& writer : writers) writer.join();
  postgres_->Kill();
  ASSERT_TRUE(postgres_->StartAgain().ok());
  constexpr uint64_t kLast = 2 + kWriters * kEach;
  ExpectApplied(kLast);
  ExpectNoDifference(1 + kWriters * kEach);

  // And the publisher itself, wherever it stands.
  for (int i = 0; i < 20; ++i) {
    SetState(fmt::format("u0-{}@example.net", i), model::State::kSuspended);
    Start();
  }
  ExpectApplied(kLast + 20);
  ExpectNoDifference(1 + kWriters * kEach);
}

// Two provd on one database: one publishes, the other knows how far the directory is, and goes on when the
// first has gone, or has the turn and does nothing with it.
TEST_F(PublisherPostgresTest, AnotherProvdStandsByAndTakesOver) {
  options_.stand_by_patience = std::chrono::milliseconds(300);
  Start();
  ExpectApplied(Add("first@example.net"));
  const auto other_turn = store::MakePostgresPublisherTurn(postgres_->connection());
  Publisher other(*snapshots_, *watch_, *other_turn, options_);
  ASSERT_TRUE(other.Start().ok());
  const uint64_t second = Add("second@example.net");
  EXPECT_GE(other.WaitApplied(second, kPatience), second);
  EXPECT_FALSE(other_turn->Hold());
  publisher_->Stop();
  const uint64_t third = Add("third@example.net");
  EXPECT_GE(other.WaitApplied(third, kPatience), third);
  other.Stop();

  ASSERT_TRUE(turn_->Hold());  // and nobody publishes
  Publisher late(*snapshots_, *watch_, *other_turn, options_);
  ASSERT_TRUE(late.Start().ok());
  const uint64_t fourth = Add("fourth@example.net");
  EXPECT_GE(late.WaitApplied(fourth, kPatience), fourth);
  late.Stop();
  ExpectNoDifference(5);
}

}  // namespace
}  // namespace prov::directory
