#include "agents/mail/pop3/store_choice.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

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
    const auto order = OrderStores(Pool(3), login);
    ASSERT_EQ(order.size(), 3u);
    EXPECT_EQ(order, OrderStores(Pool(3), login));
    ++share[order[0]];
  }
  for (const auto& [store, count] : share) EXPECT_NEAR(count, 1000, 150) << store;
}

TEST(StoreChoice, AHostMoreMovesOnlyItsOwnShare) {
  for (int i = 0; i < 1000; ++i) {
    const std::string login = fmt::format("user{}@example.net", i);
    const std::string now = OrderStores(Pool(4), login)[0];
    if (now != "store4:110") {
      EXPECT_EQ(now, OrderStores(Pool(3), login)[0]);
    }
  }
}

TEST(StoreChoice, DrainedComesLastAndSilentNotAtAll) {
  v1::PoolMembers pool = Pool(3);
  pool.mutable_members(0)->set_drained(true);
  pool.mutable_members(1)->clear_endpoints();
  EXPECT_EQ(OrderStores(pool, "a@example.net"), (std::vector<std::string>{"store3:110", "store1:110"}));
}

}  // namespace
}  // namespace prov::pop3
