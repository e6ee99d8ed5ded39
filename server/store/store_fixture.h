// For tests: a real PostgreSQL for the suite, an empty schema for each test, and a queue to write through.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <pqxx/pqxx>
#include <string>
#include <utility>

#include "common/status.h"
#include "server/store/connection_pool.h"
#include "server/store/domain_repository.h"
#include "server/store/fleet_repository.h"
#include "server/store/migrations.h"
#include "server/store/subscriber_repository.h"
#include "server/store/write_queue.h"
#include "tests/fixtures/postgres.h"

namespace prov::store {

class StoreFixture : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto started = prov::testing::Postgres::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    postgres_ = std::move(*started).release();
  }
  static void TearDownTestSuite() { delete postgres_; }

  void SetUp() override {
    Sql("DROP SCHEMA IF EXISTS prov CASCADE; DROP TABLE IF EXISTS public.prov_migration");
    ASSERT_TRUE(Migrate(postgres_->connection()).ok());
    pool_ = std::make_unique<ConnectionPool>(postgres_->connection(), 8);
    queue_ = std::make_unique<WriteQueue>(*pool_);
  }

  // As the owner.
  static void Sql(const std::string& text) {
    pqxx::connection connection(postgres_->connection());
    pqxx::nontransaction(connection).exec("SET client_min_messages TO warning; " + text);
  }

  static int64_t Count(const std::string& sql) {
    pqxx::connection connection(postgres_->connection());
    return pqxx::nontransaction(connection).exec1(sql)[0].as<int64_t>();
  }

  // By operator/test.
  absl::StatusOr<WriteResult> Write(WriteBody body, WriteContext context = {}) {
    context.caller = "operator/test";
    context.method = "/prov.v1.Test/Write";
    return queue_->Run(std::move(context), std::move(body));
  }

  // For a body that gives nothing but what went wrong.
  template <typename Value>
  static absl::StatusOr<WriteResult> Done(const absl::StatusOr<Value>& value) {
    return Done(value.status());
  }
  static absl::StatusOr<WriteResult> Done(const absl::Status& status) {
    if (!status.ok()) return status;
    return WriteResult();
  }

  void AddPool(const std::string& id) {
    model::Pool pool;
    pool.id = id;
    ASSERT_TRUE(
        Write([&](WriteTransaction& write) { return Done(FleetRepository::InsertPool(write, pool)); }).ok());
  }

  void AddHost(const std::string& id, const std::string& pool) {
    model::Host host;
    host.id = id;
    host.pools = {pool};
    ASSERT_TRUE(
        Write([&](WriteTransaction& write) { return Done(FleetRepository::InsertHost(write, host)); }).ok());
  }

  void AddDomain(const std::string& name) {
    model::Domain domain;
    domain.name = name;
    ASSERT_TRUE(
        Write([&](WriteTransaction& write) { return Done(DomainRepository::Insert(write, domain)); }).ok());
  }

  static model::Subscriber NewSubscriber(const std::string& login, const std::string& pool = "main") {
    model::Subscriber subscriber;
    subscriber.login = login;
    subscriber.store_pool = pool;
    return subscriber;
  }

  static inline prov::testing::Postgres* postgres_ = nullptr;
  std::unique_ptr<ConnectionPool> pool_;
  std::unique_ptr<WriteQueue> queue_;
};

}  // namespace prov::store
