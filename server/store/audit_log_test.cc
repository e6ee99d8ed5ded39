// The audit log in a real PostgreSQL.
#include <gtest/gtest.h>

#include <pqxx/pqxx>
#include <thread>

#include "common/status.h"
#include "server/store/audit_repository.h"
#include "server/store/domain_repository.h"
#include "server/store/migrations.h"
#include "server/store/request_fingerprint.h"
#include "server/store/store_fixture.h"
#include "server/store/write_queue.h"

namespace prov::store {
namespace {

using std::chrono::seconds;

class AuditLog : public StoreFixture {
 protected:
  absl::StatusOr<WriteResult> Add(const std::string& domain) {
    return Write([&](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
      model::Domain added;
      added.name = domain;
      PROV_RETURN_IF_ERROR(DomainRepository::Insert(write, added).status());
      return WriteResult{.audit = {{"domains/" + domain, "", "{}"}}};
    });
  }
};

TEST_F(AuditLog, OneWriteMayChangeManyResourcesAndIsAuditedForEach) {
  const auto written = Write([](WriteTransaction& write) {
    write.AddChange(AggregateKind::kDomain, "example.net");
    WriteResult result;
    for (int i = 0; i < 500; ++i) {
      result.audit.push_back({"subscribers/" + std::to_string(i), i == 0 ? "" : R"({"a":"\"\\"})", "{}"});
    }
    return absl::StatusOr<WriteResult>(result);
  });
  ASSERT_TRUE(written.ok()) << written.status();
  AuditRepository audit(*pool_);
  const auto records = audit.List({.limit = 1000});
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_GE(records->size(), 500u);
  for (size_t i = 0; i < 500; ++i) {
    const AuditRecord& record = (*records)[499 - i];
    EXPECT_EQ(record.resource, "subscribers/" + std::to_string(i));
    EXPECT_EQ(record.revision, written->revision);
    EXPECT_EQ(record.before_json.empty(), i == 0);
  }
}

TEST_F(AuditLog, ChainHoldsUnderConcurrentWritersAndRefusals) {
  AuditRepository audit(*pool_);
  WriteQueue second(*pool_);  // of another provd
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 12; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 10; ++i) {
        const auto body = [&](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
          write.AddChange(AggregateKind::kDomain, "example.net");
          if (i % 5 == 4) return absl::InvalidArgumentError("changed my mind");
          return WriteResult{.audit = {{"a", "", R"({"z": 1, "a": "\u0000{},\"'NULL"})"}, {"b", "{}", ""}}};
        };
        const WriteContext context = {.caller = "operator/test", .peer = "\xff", .method = "/m"};
        if (thread % 3 == 0) {
          EXPECT_TRUE(audit.Record({.caller = "unknown/unknown", .method = "/m", .code = 7}).ok());
        } else {
          EXPECT_EQ((thread % 3 == 1 ? *queue_ : second).Run(context, body).ok(), i % 5 != 4);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto whole = audit.Verify({.most_records = 1'000'000});
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_TRUE(whole->complete);
  EXPECT_FALSE(whole->broken) << whole->broken->reason;
  EXPECT_EQ(whole->records_checked, 4u * 10 + 8 * 8 * 2);
  EXPECT_EQ(whole->reached, whole->head);
  // In parts, each from where the one before came to.
  AuditCheck part{.noted = whole->head, .most_records = 7};
  for (uint64_t checked = 0; checked < whole->records_checked;) {
    const auto some = audit.Verify(part);
    ASSERT_TRUE(some.ok() && !some->broken && some->records_checked > 0);
    checked += some->records_checked;
    part.after = some->reached;
  }
  EXPECT_EQ(part.after, whole->head);
}

TEST_F(AuditLog, RecordsChangedOrRemovedInTheDatabaseAreNamed) {
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(Add("a" + std::to_string(i) + ".example.net").ok());
  AuditRepository audit(*pool_);
  const auto broken_by = [&](const std::string& sql) {
    Sql(sql);
    const auto verdict = audit.Verify({.most_records = 1000});
    EXPECT_TRUE(verdict.ok() && verdict->complete);
    return verdict->broken;
  };
  EXPECT_FALSE(broken_by("SELECT 1"));
  const auto cut = broken_by("DELETE FROM prov.audit WHERE id = 7");
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->kind, AuditBreak::Kind::kTruncated);
  EXPECT_EQ(cut->id, 7u);
  const auto missing = broken_by("DELETE FROM prov.audit WHERE id = 5");
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->kind, AuditBreak::Kind::kMissing);
  EXPECT_EQ(missing->id, 5u);
  const auto changed = broken_by("UPDATE prov.audit SET time = time + interval '1 microsecond' WHERE id = 3");
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->kind, AuditBreak::Kind::kChanged);
  EXPECT_EQ(changed->id, 3u);
}

TEST_F(AuditLog, RecordsOfBeforeTheChainAreTakenIntoIt) {
  pqxx::connection connection(postgres_->connection());
  pqxx::nontransaction sql(connection);
  sql.exec("DROP SCHEMA prov CASCADE; DROP TABLE public.prov_migration");
  ASSERT_TRUE(Migrate(postgres_->connection(), {Migrations().front()}).ok());
  sql.exec(R"(
    INSERT INTO prov.audit (caller, peer, method, resource, request_id, revision, code, before, after)
    SELECT 'helpdesk/märy', 'p', '/m', 'subscribers/' || i, '', i, i % 3, CASE WHEN i > 2 THEN '{"b":1,"a":"é"}'::jsonb END,
      '[]' FROM generate_series(1, 5) AS i; DELETE FROM prov.audit WHERE id IN (1, 4))");
  ASSERT_TRUE(Migrate(postgres_->connection()).ok());
  AuditRepository audit(*pool_);
  ASSERT_TRUE(audit.Record({.caller = "unknown/unknown", .code = 7}).ok());
  const auto verdict = audit.Verify({.most_records = 1000});
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_FALSE(verdict->broken) << verdict->broken->reason;
  EXPECT_EQ(verdict->head.id, 4u);
  EXPECT_EQ(audit.List({.limit = 10})->back().resource, "subscribers/2");
}

TEST_F(AuditLog, ServiceRoleMayAddAndNotChange) {
  pqxx::connection owner(postgres_->connection());
  pqxx::nontransaction(owner).exec("DROP ROLE IF EXISTS \"pro\"\"vd\"; CREATE ROLE \"pro\"\"vd\" LOGIN");
  const std::string service = postgres_->connection() + " user='pro\"vd'";
  EXPECT_EQ(GrantService(postgres_->connection(), "nobody_there").code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GrantService(postgres_->connection(), "prov").code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(GrantService(postgres_->connection(), "pro\"vd").ok());
  EXPECT_TRUE(*MayChangeAudit(postgres_->connection()));
  EXPECT_FALSE(*MayChangeAudit(service));

  EXPECT_TRUE(Migrate(service).ok()) << "nothing to do needs no rights";
  std::vector<Migration> newer = Migrations();
  newer.push_back({newer.back().version + 1, "9999_future.sql", "CREATE TABLE prov.future ()"});
  EXPECT_EQ(Migrate(service, newer).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(RequestFingerprint::Load(*pool_).ok());

  queue_.reset();
  pool_ = std::make_unique<ConnectionPool>(service, 8);
  queue_ = std::make_unique<WriteQueue>(*pool_);
  ASSERT_TRUE(Add("served.example.net").ok());
  ASSERT_TRUE(AuditRepository(*pool_).Record({.caller = "unknown/unknown", .code = 7}).ok());
  pqxx::connection intruder(service);
  for (const std::string statement :
       {"UPDATE prov.audit SET caller = 'me'", "DELETE FROM prov.audit", "TRUNCATE prov.audit",
        "ALTER TABLE prov.audit DISABLE TRIGGER ALL", "DROP TABLE prov.audit", "DELETE FROM prov.audit_head",
        "INSERT INTO prov.audit_head VALUES (true, 0, '')", "CREATE TABLE prov.mine ()",
        "CREATE RULE quiet AS ON INSERT TO prov.audit DO INSTEAD NOTHING"}) {
    EXPECT_THROW(pqxx::nontransaction(intruder).exec(statement), pqxx::insufficient_privilege) << statement;
  }
  EXPECT_FALSE(AuditRepository(*pool_).Verify({.most_records = 1000})->broken);
}

TEST_F(AuditLog, IsListedByCallerResourceAndTime) {
  AuditRepository audit(*pool_);
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(audit
                    .Record({.caller = i % 2 ? "helpdesk/mary" : "helpdesk/john",
                             .resource = "subscribers/" + std::to_string(i / 3)})
                    .ok());
  }
  const auto ids = [&](const AuditQuery& query) {
    std::vector<uint64_t> found;
    const auto records = audit.List(query);
    for (const AuditRecord& record : *records) found.push_back(record.id);
    return found;
  };
  using Ids = std::vector<uint64_t>;
  EXPECT_EQ(ids({.caller = "helpdesk/mary", .limit = 10}), (Ids{6, 4, 2}));
  EXPECT_EQ(ids({.before_id = 6, .resource = "subscribers/1", .limit = 10}), (Ids{5, 4}));
  EXPECT_EQ(ids({.resource = "subscribers/0", .caller = "helpdesk/mary", .limit = 10}), (Ids{2}));
  const model::Time time = audit.List({.before_id = 5, .limit = 1})->front().time;
  EXPECT_EQ(ids({.since = time, .limit = 10}), (Ids{6, 5, 4}));
  EXPECT_EQ(ids({.caller = "helpdesk/john", .since = time, .limit = 10}), (Ids{5}));
  EXPECT_EQ(ids({.since = time + seconds(3600), .limit = 10}), Ids{});
}

}  // namespace
}  // namespace prov::store
