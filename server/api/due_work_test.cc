// What is due, with several provd on one real PostgreSQL.
#include "server/api/due_work.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <pqxx/pqxx>
#include <thread>

#include "common/status.h"
#include "server/api/translation.h"
#include "server/store/approval_repository.h"
#include "server/store/domain_repository.h"
#include "server/store/fleet_repository.h"
#include "server/store/migrations.h"
#include "tests/fixtures/postgres.h"

namespace prov::api {
namespace {

using store::WriteTransaction;

constexpr std::chrono::seconds kPatience(60);

// One provd's share.
struct Provd {
  explicit Provd(const std::string& connection)
      : pool(connection, 4), writes(pool), schedule(pool), subscribers(pool), lists(pool), changes(pool) {}

  void Start(const LifecycleOptions& lifecycle) {
    due_work = std::make_unique<DueWork>(DueWork::Parts{.writes = &writes,
                                                        .schedule = &schedule,
                                                        .subscribers = &subscribers,
                                                        .lists = &lists,
                                                        .changes = &changes,
                                                        .lifecycle = lifecycle,
                                                        .interval = std::chrono::milliseconds(1)});
  }

  store::ConnectionPool pool;
  store::WriteQueue writes;
  store::ScheduleRepository schedule;
  store::SubscriberRepository subscribers;
  store::MailingListRepository lists;
  store::ChangeLog changes;
  std::unique_ptr<DueWork> due_work;  // ends first
};

class DueWorkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto postgres = prov::testing::Postgres::Start();
    ASSERT_TRUE(postgres.ok()) << postgres.status();
    postgres_ = std::move(*postgres);
    ASSERT_TRUE(store::Migrate(postgres_->connection()).ok());
    a_ = std::make_unique<Provd>(postgres_->connection());
    b_ = std::make_unique<Provd>(postgres_->connection());
    ASSERT_TRUE(Write("operator/test", [](WriteTransaction& write) {
                  model::Pool pool;
                  pool.id = "main";
                  model::Domain domain;
                  domain.name = "example.net";
                  absl::Status status = store::FleetRepository::InsertPool(write, pool).status();
                  status.Update(store::DomainRepository::Insert(write, domain).status());
                  return status;
                }).ok());
  }

  absl::Status Write(const std::string& caller, const std::function<absl::Status(WriteTransaction&)>& body) {
    store::WriteContext context;
    context.caller = caller;
    context.method = "/prov.v1.Test/Write";
    return a_->writes
        .Run(context,
             [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
               PROV_RETURN_IF_ERROR(body(write));
               return store::WriteResult();
             })
        .status();
  }

  int64_t AddSubscriber(const std::string& login) {
    int64_t id = 0;
    const absl::Status added = Write("operator/test", [&](WriteTransaction& write) {
      model::Subscriber subscriber;
      subscriber.login = login;
      subscriber.store_pool = "main";
      const auto created = store::SubscriberRepository::Insert(write, subscriber);
      if (created.ok()) id = created->id;
      return created.status();
    });
    EXPECT_TRUE(added.ok()) << added;
    return id;
  }

  void Schedule(int64_t id, const char* method, std::chrono::milliseconds ago) {
    const absl::Status done = Write("billing/crm", [&](WriteTransaction& write) {
      store::ScheduledChange change;
      change.subscriber_id = id;
      change.effective_time = std::chrono::system_clock::now() - ago;
      change.method = method;
      change.caller = "billing/crm";
      return store::ScheduleRepository::Insert(write, change);
    });
    ASSERT_TRUE(done.ok()) << done;
  }

  int64_t Number(const std::string& sql) {
    pqxx::connection connection(postgres_->connection());
    pqxx::nontransaction read(connection);
    return read.exec1(sql)[0].as<int64_t>();
  }

  bool Eventually(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  std::unique_ptr<prov::testing::Postgres> postgres_;
  std::unique_ptr<Provd> a_, b_;
};

TEST_F(DueWorkTest, TwoProvdDoEachThingOnceAndEachSubscribersInOrder) {
  constexpr int kSubscribers = 250;  // more than a page
  for (int i = 0; i < kSubscribers; ++i) {
    const int64_t id = AddSubscriber(fmt::format("u{}@example.net", i));
    Schedule(id, kDeleteMethod, std::chrono::milliseconds(1000));
    Schedule(id, kSuspendMethod, std::chrono::milliseconds(2000));
  }
  a_->Start({});
  b_->Start({});
  EXPECT_TRUE(Eventually([&] { return Number("SELECT count(*) FROM prov.scheduled_change") == 0; }));
  // Suspended first, so that undelete gives that back.
  EXPECT_EQ(
      Number(
          "SELECT count(*) FROM prov.subscriber WHERE state = 'closed' AND state_before_close = 'suspended'"),
      kSubscribers);
  EXPECT_EQ(
      Number(
          "SELECT count(*) FROM prov.audit WHERE peer LIKE 'scheduledChanges/%' AND caller = 'billing/crm'"),
      2 * kSubscribers);
  EXPECT_EQ(Number("SELECT count(DISTINCT revision) - max(revision) FROM prov.change"), 0)
      << "a gap, or a double";
}

TEST_F(DueWorkTest, StoppedCallersChangesWaitAndOthersGoOn) {
  LifecycleOptions lifecycle;
  lifecycle.harm = {.changes = 3, .percent = 0};
  for (int i = 0; i < 8; ++i) {
    Schedule(AddSubscriber(fmt::format("u{}@example.net", i)), kDeleteMethod,
             std::chrono::milliseconds(1000));
  }
  a_->Start(lifecycle);
  b_->Start(lifecycle);
  EXPECT_TRUE(Eventually([&] { return a_->schedule.Due(10)->empty(); }));
  EXPECT_EQ(Number("SELECT count(*) FROM prov.subscriber WHERE state = 'closed'"), 3);
  EXPECT_EQ(Number("SELECT count(*) FROM prov.scheduled_change WHERE error = ''"), 5);
  // Nobody else waits for the caller, and what is over is purged meanwhile.
  const int64_t other = AddSubscriber("other@example.net");
  ASSERT_TRUE(Write("operator/other", [&](WriteTransaction& write) -> absl::Status {
                PROV_ASSIGN_OR_RETURN(model::Subscriber one,
                                      store::SubscriberRepository::Find(write, std::to_string(other)));
                PROV_RETURN_IF_ERROR(Close(write, one, lifecycle).status());
                one.expire_time = one.delete_time;
                return store::SubscriberRepository::Save(write, one).status();
              }).ok());
  EXPECT_TRUE(
      Eventually([&] { return Number("SELECT count(*) FROM prov.subscriber WHERE state = 'purged'") == 1; }));
  ASSERT_TRUE(Write("operator/test", [](WriteTransaction& write) {
                return store::ApprovalRepository::Approve(write, "api/billing/crm", 100,
                                                          std::chrono::hours(1))
                    .status();
              }).ok());
  EXPECT_TRUE(Eventually([&] { return Number("SELECT count(*) FROM prov.scheduled_change") == 0; }));
}

TEST_F(DueWorkTest, DatabaseThatGoesAwayInBetweenLosesAndDoublesNothing) {
  constexpr int kSubscribers = 200;
  for (int i = 0; i < kSubscribers; ++i) {
    Schedule(AddSubscriber(fmt::format("u{}@example.net", i)), kSuspendMethod,
             std::chrono::milliseconds(1000));
  }
  a_->Start({});
  b_->Start({});
  for (int kill = 0; kill < 3; ++kill) {
    EXPECT_TRUE(Eventually([&] {
      return Number("SELECT count(*) FROM prov.subscriber WHERE state = 'suspended'") >= kill * 20;
    }));
    postgres_->Kill();
    ASSERT_TRUE(postgres_->StartAgain().ok());
  }
  EXPECT_TRUE(Eventually([&] { return Number("SELECT count(*) FROM prov.scheduled_change") == 0; }));
  EXPECT_EQ(Number("SELECT count(*) FROM prov.subscriber WHERE state = 'suspended'"), kSubscribers);
  EXPECT_EQ(Number("SELECT count(*) FROM prov.audit WHERE peer LIKE 'scheduledChanges/%'"), kSubscribers);
}

// Many more than a step, and a revision with many changes at its border.
TEST_F(DueWorkTest, OldChangesGoByWholeRevisionsAndYoungOnesStay) {
  {
    pqxx::connection connection(postgres_->connection());
    pqxx::work work(connection);
    work.exec("DELETE FROM prov.change");
    work.exec(
        "INSERT INTO prov.change (revision, kind, key, time) SELECT n / 7, 1, n::text, now() - interval '31 "
        "days' "
        "FROM generate_series(7, 25000) AS n");
    work.exec(
        "INSERT INTO prov.change (revision, kind, key) SELECT n, 1, 'young' FROM generate_series(3572, 3600) "
        "AS n");
    work.exec("UPDATE prov.revision SET value = 3600, compacted = 0");
    work.commit();
  }
  a_->Start({});
  b_->Start({});
  EXPECT_TRUE(Eventually([&] { return Number("SELECT compacted FROM prov.revision") == 3571; }));
  EXPECT_EQ(Number("SELECT count(*) FROM prov.change WHERE revision <= 3571"), 0);
  EXPECT_EQ(Number("SELECT count(*) FROM prov.change"), 29);
}

}  // namespace
}  // namespace prov::api
