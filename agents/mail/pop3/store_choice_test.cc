#include "agents/mail/pop3/store_choice.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>

#include "agents/state/test_records.h"
#include "agents/state/writer.h"

namespace prov::pop3 {
namespace {

v1::PoolMembers Pool(int hosts) {
  v1::PoolMembers pool;
  for (int i = 1; i <= hosts; ++i) {
    v1::PoolMembers::Member* member = pool.add_members();
    member->set_host(fmt::format("store{}", i));
    member->set_weight(1);
    (*member->mutable_endpoints())["pop3"] = fmt::format("store{}:110", i);
  }
  return pool;
}

TEST(StoreChoice, OneMailboxStaysOnOneCloneAndAllHaveAShare) {
  std::map<std::string, int> share;
  for (int i = 0; i < 3000; ++i) {
    const std::string login = fmt::format("user{}@example.net", i);
    const auto order = OrderStores(Pool(3), login, "pop3");
    ASSERT_EQ(order.size(), 3u);
    EXPECT_EQ(order, OrderStores(Pool(3), login, "pop3"));
    ++share[order[0].host];
  }
  for (const auto& [store, count] : share) EXPECT_NEAR(count, 1000, 150) << store;
}

TEST(StoreChoice, AHostMoreMovesOnlyItsOwnShare) {
  for (int i = 0; i < 1000; ++i) {
    const std::string login = fmt::format("user{}@example.net", i);
    const Store now = OrderStores(Pool(4), login, "pop3")[0];
    if (now.host != "store4") {
      EXPECT_EQ(now, OrderStores(Pool(3), login, "pop3")[0]);
    }
  }
}

TEST(StoreChoice, AHeavierHostHasMoreAndOneWithoutAWeightHasSome) {
  v1::PoolMembers pool = Pool(3);
  pool.mutable_members(0)->set_weight(3);
  pool.mutable_members(1)->set_weight(0);
  std::map<std::string, int> share;
  for (int i = 0; i < 3000; ++i)
    ++share[OrderStores(pool, fmt::format("user{}@example.net", i), "pop3")[0].host];
  EXPECT_NEAR(share["store1"], 1800, 150);
  EXPECT_NEAR(share["store2"], 600, 100);
  EXPECT_NEAR(share["store3"], 600, 100);
}

TEST(StoreChoice, DrainedComesLastAndSilentNotAtAll) {
  v1::PoolMembers pool = Pool(3);
  pool.mutable_members(0)->set_drained(true);
  pool.mutable_members(1)->clear_endpoints();
  EXPECT_EQ(OrderStores(pool, "a@example.net", "pop3"),
            (std::vector<Store>{{"store3", "store3:110"}, {"store1", "store1:110"}}));
}

class HandClock : public Clock {
 public:
  std::chrono::system_clock::time_point Now() const override { return std::chrono::system_clock::now(); }
  std::chrono::steady_clock::time_point Monotonic() const override { return now; }
  std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now();
};

// A proxy host's copy of its view.
class ProxyHost {
 public:
  explicit ProxyHost(const v1::PoolMembers& pool) {
    SetPool(pool);
    SetRoute("main");
  }

  void SetPool(v1::PoolMembers pool) {
    pool.set_pool("main");
    pool.set_role(v1::STORE);
    v1::Record record;
    record.set_key("pools/main");
    *record.mutable_pool() = std::move(pool);
    Apply(record);
  }
  void SetRoute(const std::string& pool) {
    v1::Record record;
    record.set_key("subscribers/1");
    record.mutable_login_route()->set_login("a@example.net");
    record.mutable_login_route()->set_pool(pool);
    record.mutable_login_route()->set_login_disposition(v1::ALLOW);
    Apply(record);
  }
  // The host has heard all there is to hear.
  void Confirm() {
    ASSERT_TRUE(writer_->ConfirmHead(v1::POP_PROXY, revision_, std::chrono::system_clock::now()).ok());
  }
  std::string First(const std::string& login = "a@example.net") {
    const auto stores = choice.For(login);
    return stores.ok() ? stores->front().endpoint : stores.status().ToString();
  }

 private:
  void Apply(v1::Record record) {
    v1::Batch batch;
    batch.set_to_revision(++revision_);
    record.set_revision(revision_);
    *batch.add_records() = std::move(record);
    ASSERT_TRUE(writer_->ApplyBatch(v1::POP_PROXY, batch).ok());
  }

  state::TestDirectory directory_;
  std::unique_ptr<state::StateWriter> writer_ = *state::StateWriter::Open(directory_.path());
  std::unique_ptr<state::StateReader> reader_ = *state::StateReader::Open(directory_.path());
  uint64_t revision_ = 0;

 public:
  HandClock clock;
  StoreChoice choice{*reader_, "pop3", clock};
};

TEST(StoreChoice, TwoProxiesChooseTheSameCloneInWhateverOrderTheyLearntOfThem) {
  v1::PoolMembers backwards = Pool(5);
  std::reverse(backwards.mutable_members()->begin(), backwards.mutable_members()->end());
  ProxyHost one(Pool(5)), two(backwards);
  EXPECT_EQ(one.First(), two.First());
}

TEST(StoreChoice, ADrainedCloneGetsNoNewLoginAndHasThemBackThen) {
  ProxyHost proxy(Pool(2));
  const std::string own = proxy.First();
  v1::PoolMembers pool = Pool(2);
  pool.mutable_members(own == "store1:110" ? 0 : 1)->set_drained(true);
  proxy.SetPool(pool);
  EXPECT_NE(proxy.First(), own);
  proxy.SetPool(Pool(2));
  EXPECT_EQ(proxy.First(), own);
}

TEST(StoreChoice, AMailboxThatMovedIsLookedForInItsNewPool) {
  ProxyHost proxy(Pool(2));
  proxy.SetRoute("elsewhere");
  EXPECT_TRUE(proxy.First().starts_with("UNAVAILABLE: pool elsewhere")) << proxy.First();
}

TEST(StoreChoice, AnUnknownLoginIsRefusedOnlyByOneWhoIsUpToDate) {
  ProxyHost proxy(Pool(2));
  EXPECT_TRUE(proxy.First("nobody@example.net").starts_with("UNAVAILABLE")) << proxy.First();
  proxy.Confirm();
  EXPECT_TRUE(proxy.First("nobody@example.net").starts_with("NOT_FOUND"));
}

// A store takes as long for it as for a wrong password.
TEST(StoreChoice, AnUnknownLoginGoesWhereTheLastKnownOneWent) {
  ProxyHost proxy(Pool(2));
  proxy.Confirm();
  proxy.First();
  EXPECT_TRUE(proxy.First("nobody@example.net").starts_with("store"));
  proxy.SetRoute("elsewhere");
  proxy.First();
  EXPECT_TRUE(proxy.First("nobody@example.net").starts_with("UNAVAILABLE: pool elsewhere"));
}

TEST(StoreChoice, AnUnreachableCloneRestsAndIsThenTriedByOneLoginAtATime) {
  ProxyHost proxy(Pool(2));
  const std::string own = proxy.First();
  proxy.choice.MarkUnreachable(own);
  EXPECT_NE(proxy.First(), own);
  proxy.clock.now += kUnreachableRest;
  EXPECT_EQ(proxy.First(), own);  // tries it
  EXPECT_NE(proxy.First(), own);  // while that one tries
  proxy.choice.MarkReachable(own);
  EXPECT_EQ(proxy.First(), own);
  EXPECT_EQ(proxy.First(), own);
}

}  // namespace
}  // namespace prov::pop3
