// The store against a real PostgreSQL.
#include <gtest/gtest.h>

#include <atomic>
#include <pqxx/pqxx>
#include <thread>

#include "common/status.h"
#include "server/store/domain_repository.h"
#include "server/store/fleet_repository.h"
#include "server/store/mailing_list_repository.h"
#include "server/store/migrations.h"
#include "server/store/read_snapshot_postgres.h"
#include "server/store/request_fingerprint.h"
#include "server/store/revision_watch_postgres.h"
#include "server/store/store_fixture.h"
#include "server/store/subscriber_repository.h"
#include "server/store/write_queue.h"

namespace prov::store {
namespace {

using std::chrono::seconds;

class Store : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    AddPool("main");
    AddDomain("example.net");
  }

  absl::StatusOr<WriteResult> WriteAs(WriteBody body, const std::string& request_id,
                                      const std::string& fingerprint, bool validate_only = false) {
    WriteContext context;
    context.request_id = request_id;
    context.fingerprint = fingerprint;
    context.validate_only = validate_only;
    return Write(std::move(body), std::move(context));
  }

  absl::StatusOr<WriteResult> Add(const std::string& login, const std::string& request_id = "",
                                  const std::string& fingerprint = "f") {
    return WriteAs(
        [&](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
          PROV_ASSIGN_OR_RETURN(const model::Subscriber added,
                                SubscriberRepository::Insert(write, NewSubscriber(login)));
          WriteResult result;
          result.response = "subscribers/" + std::to_string(added.id);
          result.audit.push_back({result.response, "", "{}"});
          return result;
        },
        request_id, fingerprint);
  }
};

TEST_F(Store, RevisionsAreGaplessUnderConcurrentWritersOfWhichSomeFail) {
  const uint64_t before = static_cast<uint64_t>(Count("SELECT value FROM prov.revision"));
  std::atomic<int> good{0}, refused{0};
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 32; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0; i < 20; ++i) {
        // Every third login is taken, so that failing calls share batches with good ones.
        const std::string login =
            i % 3 == 0 ? "taken@example.net" : "u" + std::to_string(writer * 100 + i) + "@example.net";
        const auto written = Add(login);
        if (written.ok()) {
          ++good;
        } else {
          EXPECT_EQ(written.status().code(), absl::StatusCode::kAlreadyExists) << written.status();
          ++refused;
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(good + refused, 32 * 20);
  const uint64_t after = static_cast<uint64_t>(Count("SELECT value FROM prov.revision"));
  EXPECT_EQ(after - before, static_cast<uint64_t>(good));
  EXPECT_EQ(Count("SELECT count(DISTINCT revision) FROM prov.change"), static_cast<int64_t>(after));
  EXPECT_EQ(Count("SELECT max(revision) FROM prov.change"), static_cast<int64_t>(after));
  EXPECT_EQ(Count("SELECT count(*) FROM prov.subscriber"), good);
  EXPECT_EQ(Count("SELECT count(*) FROM prov.address"), good);
}

TEST_F(Store, SnapshotSeesAllChangesUpToItsHead) {
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) EXPECT_TRUE(Add("w" + std::to_string(i) + "@example.net").ok());
  });
  PostgresSnapshotSource source(*pool_);
  for (int i = 0; i < 50; ++i) {
    auto snapshot = source.OpenSnapshot();
    ASSERT_TRUE(snapshot.ok());
    const auto changes = (*snapshot)->ChangesAfter(0, 1'000'000);
    ASSERT_TRUE(changes.ok());
    ASSERT_EQ(changes->size(), (*snapshot)->head_revision());
    EXPECT_EQ(changes->back().revision, (*snapshot)->head_revision());
  }
  stop = true;
  writer.join();
}

TEST_F(Store, ReplayGivesTheFirstAnswerAndOtherContentIsRefused) {
  const auto first = Add("a@example.net", "id-1", "fingerprint");
  ASSERT_TRUE(first.ok());
  const auto replay = Add("a@example.net", "id-1", "fingerprint");
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_TRUE(replay->replayed);
  EXPECT_EQ(replay->response, first->response);
  EXPECT_EQ(replay->revision, first->revision);
  const auto other = Add("b@example.net", "id-1", "other");
  EXPECT_EQ(other.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ViolationsOf(other.status()).at(0).field, "request_id");
  EXPECT_EQ(Count("SELECT count(*) FROM prov.subscriber"), 1);
}

TEST_F(Store, ValidateOnlyAndFailedWritesLeaveNothing) {
  const int64_t revision = Count("SELECT value FROM prov.revision");
  const auto rehearsed = WriteAs(
      [](WriteTransaction& write) {
        return Done(SubscriberRepository::Insert(write, NewSubscriber("v@example.net")).status());
      },
      "", "f", true);
  EXPECT_TRUE(rehearsed.ok());
  const auto failed = Write([](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
    PROV_RETURN_IF_ERROR(SubscriberRepository::Insert(write, NewSubscriber("v@example.net")).status());
    return absl::InvalidArgumentError("changed my mind");
  });
  EXPECT_FALSE(failed.ok());
  EXPECT_EQ(Count("SELECT count(*) FROM prov.subscriber"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM prov.address"), 0);
  EXPECT_EQ(Count("SELECT value FROM prov.revision"), revision);
}

TEST_F(Store, ConstraintsNameTheField) {
  auto unknown_domain = Add("a@elsewhere.example");
  EXPECT_EQ(unknown_domain.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ViolationsOf(unknown_domain.status()).at(0).field, "subscriber.login");
  ASSERT_TRUE(Add("a@example.net").ok());
  ASSERT_TRUE(Write([](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
                PROV_ASSIGN_OR_RETURN(const auto found, SubscriberRepository::Find(write, "a@example.net"));
                PROV_RETURN_IF_ERROR(
                    SubscriberRepository::AddAddress(write, found, "alias@example.net", "example.net"));
                return Done(SubscriberRepository::Save(write, found).status());
              }).ok());
  // A login that is somebody's alias.
  const auto taken = Add("alias@example.net");
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ViolationsOf(taken.status()).at(0).field, "subscriber.login");
}

TEST_F(Store, CrashOfPostgresLosesNothingAcknowledgedAndARetryDoesNotDouble) {
  std::vector<std::string> acknowledged;
  std::atomic<bool> stop{false};
  std::atomic<int> count{0};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      const std::string login = "c" + std::to_string(i) + "@example.net";
      while (!Add(login, "crash-" + std::to_string(i)).ok() && !stop) {
      }
      if (!stop) acknowledged.push_back(login);
      ++count;
    }
  });
  for (int crash = 0; crash < 3; ++crash) {
    const int seen = count;
    while (count < seen + 5) std::this_thread::yield();
    postgres_->Kill();
    ASSERT_TRUE(postgres_->StartAgain().ok());
  }
  const int seen = count;
  while (count < seen + 5) std::this_thread::yield();
  stop = true;
  writer.join();
  SubscriberRepository subscribers(*pool_);
  for (const std::string& login : acknowledged) EXPECT_TRUE(subscribers.Get(login).ok()) << login;
  EXPECT_EQ(Count("SELECT count(*) - count(DISTINCT login) FROM prov.subscriber"), 0);
  EXPECT_EQ(Count("SELECT value FROM prov.revision"),
            Count("SELECT count(DISTINCT revision) FROM prov.change"));
}

TEST_F(Store, WatchHearsOfWrites) {
  PostgresRevisionWatch watch(postgres_->connection());
  const auto written = Add("heard@example.net");
  ASSERT_TRUE(written.ok());
  EXPECT_GE(watch.WaitBeyond(written->revision - 1, seconds(30)), written->revision);
}

TEST_F(Store, ListPagesAndFilters) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Add("list" + std::to_string(i) + "@example.net").ok());
  SubscriberRepository subscribers(*pool_);
  SubscriberQuery query;
  query.login_prefix = "list";
  query.limit = 2;
  std::vector<std::string> logins;
  for (;;) {
    const auto page = subscribers.List(query);
    ASSERT_TRUE(page.ok());
    if (page->empty()) break;
    for (const auto& subscriber : *page) logins.push_back(subscriber.login);
    query.after_id = page->back().id;
  }
  EXPECT_EQ(logins.size(), 5u);
  SubscriberQuery percent;
  percent.login_prefix = "%";
  EXPECT_TRUE(subscribers.List(percent)->empty());
}

TEST_F(Store, MemberCostsOneRowAndCountsAndARemovedListGoesInSteps) {
  model::Pool lists;
  lists.id = "lists";
  lists.role = model::Role::kList;
  model::MailingList staff;
  staff.address = "staff@example.net";
  staff.owners = {"alice@example.net"};
  staff.pool = "lists";
  const auto make = [&](WriteTransaction& write) {
    return Done(MailingListRepository::Insert(write, staff, "example.net").status());
  };
  ASSERT_TRUE(Write([&](WriteTransaction& write) {
                return Done(FleetRepository::InsertPool(write, lists).status());
              }).ok());
  ASSERT_TRUE(Write(make).ok());
  EXPECT_EQ(ReasonOf(Write(make).status()), "ADDRESS_TAKEN");
  EXPECT_EQ(ReasonOf(Add("staff@example.net").status()), "LOGIN_TAKEN");
  const auto add_member = [&](int number) {
    return [=](WriteTransaction& write) {
      return Done(MailingListRepository::AddMember(write, "staff@example.net",
                                                   "m" + std::to_string(number) + "@example.org")
                      .status());
    };
  };
  const uint64_t of_list = MailingListRepository(*pool_).Get("staff@example.net")->revision;
  constexpr int kMembers = 1100;
  {
    // Many at once, behind the queue's back: this is about removing them.
    pqxx::connection connection(postgres_->connection());
    pqxx::work work(connection);
    work.exec_params(
        "INSERT INTO prov.mailing_list_member (list, address, revision) SELECT 'staff@example.net', 'm' || n "
        "|| "
        "'@example.org', 1 FROM generate_series(1, $1::int) AS n",
        kMembers - 1);
    work.exec_params("UPDATE prov.mailing_list SET member_count = $1", kMembers - 1);
    work.commit();
  }
  const auto added = Write(add_member(kMembers));
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_EQ(ReasonOf(Write(add_member(kMembers)).status()), "MEMBER_EXISTS");
  MailingListRepository repository(*pool_);
  EXPECT_EQ(repository.Get("staff@example.net")->member_count, kMembers);
  EXPECT_EQ(repository.Get("staff@example.net")->revision, of_list)
      << "members are not the list's own matter";
  PostgresSnapshotSource source(*pool_);
  {
    const auto snapshot = source.OpenSnapshot();
    const auto changes = (*snapshot)->ChangesAfter(added->revision - 1, 10);
    ASSERT_EQ(changes->size(), 1u);
    EXPECT_EQ(changes->front().kind, AggregateKind::kMember);
    EXPECT_EQ(changes->front().key, "staff@example.net/members/m1100@example.org");
    EXPECT_EQ((*snapshot)->MembersByKey({changes->front().key})->size(), 1u);
    const auto page = (*snapshot)->MembersAfter("lists", "", "", 3);
    ASSERT_EQ(page->size(), 3u);
    EXPECT_EQ((*snapshot)->MembersAfter("lists", page->back().list, page->back().address, 2000)->size(),
              static_cast<size_t>(kMembers - 3));
    EXPECT_TRUE((*snapshot)->MembersAfter("other", "", "", 3)->empty());
  }
  EXPECT_EQ(repository.ListMembers("staff@example.net", "m1098@example.org", 2)->size(), 2u);

  const auto removed = Write([](WriteTransaction& write) {
    return Done(MailingListRepository::Remove(write, "staff@example.net"));
  });
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_EQ(ReasonOf(repository.Get("staff@example.net").status()), "LIST_UNKNOWN");
  // Those who are left are on no list, and nobody gets the address before they are gone.
  EXPECT_TRUE((*source.OpenSnapshot())->MembersAfter("lists", "", "", 3)->empty());
  EXPECT_EQ(ReasonOf(Write(make).status()), "ADDRESS_TAKEN");
  EXPECT_EQ(ReasonOf(Add("staff@example.net").status()), "LOGIN_TAKEN");
  int steps = 0;
  while (*repository.HasMembersToRemove()) {
    ASSERT_LT(++steps, 10);
    ASSERT_TRUE(Write([](WriteTransaction& write) {
                  return Done(MailingListRepository::RemoveSomeMembers(write, 500).status());
                }).ok());
  }
  size_t told = 0;
  const auto snapshot = source.OpenSnapshot();
  const auto changes = (*snapshot)->ChangesAfter(removed->revision - 1, 5000);
  for (const Change& change : *changes) {
    told += change.kind == AggregateKind::kMember && change.removed ? 1 : 0;
  }
  EXPECT_EQ(told, static_cast<size_t>(kMembers));
  EXPECT_TRUE(Write(make).ok());
  EXPECT_EQ(repository.Get("staff@example.net")->member_count, 0);
}

TEST_F(Store, PurgedSubscribersKeepNeitherPoolNorDomain) {
  ASSERT_TRUE(Add("a@example.net").ok());
  const auto remove = [&] {
    return std::pair(ReasonOf(Write([](WriteTransaction& write) {
                                return Done(FleetRepository::RemovePool(write, "main"));
                              }).status()),
                     ReasonOf(Write([](WriteTransaction& write) {
                                return Done(DomainRepository::Remove(write, "example.net"));
                              }).status()));
  };
  EXPECT_EQ(remove(), std::pair(std::string("POOL_IN_USE"), std::string("DOMAIN_IN_USE")));
  ASSERT_TRUE(Write([](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
                PROV_ASSIGN_OR_RETURN(model::Subscriber subscriber,
                                      SubscriberRepository::Find(write, "a@example.net"));
                subscriber.state = model::State::kPurged;
                PROV_RETURN_IF_ERROR(SubscriberRepository::ReserveAddresses(write, subscriber, 1));
                return Done(SubscriberRepository::Save(write, subscriber));
              }).ok());
  EXPECT_EQ(remove(), std::pair(std::string(), std::string("DOMAIN_IN_USE")))
      << "its address is still reserved";
  Sql("UPDATE prov.address SET reserved_until = now() - interval '1 day'");
  EXPECT_EQ(remove().second, "");
}

TEST_F(Store, NewerOrEditedSchemaIsRefused) {
  std::vector<Migration> newer = Migrations();
  newer.push_back({newer.back().version + 1, "9999_future.sql", "SELECT 1"});
  ASSERT_TRUE(Migrate(postgres_->connection(), newer).ok());
  const absl::Status refused = Migrate(postgres_->connection());
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(MessageOf(refused).find("newer"), std::string_view::npos);
  newer.back().sql = "SELECT 2";
  EXPECT_EQ(Migrate(postgres_->connection(), newer).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(Store, FingerprintKeyIsMadeOnce) {
  const auto one = RequestFingerprint::Load(*pool_), two = RequestFingerprint::Load(*pool_);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->Of("m", "r"), two->Of("m", "r"));
  EXPECT_NE(one->Of("m", "r"), one->Of("m", "s"));
}

}  // namespace
}  // namespace prov::store
