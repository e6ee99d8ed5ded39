#include "server/model/placement.h"

#include <gtest/gtest.h>

#include "common/status.h"

namespace prov::model {
namespace {

std::string Placed(const std::vector<Pool>& pools, const std::string& wanted = "") {
  const auto placed = PlaceMailbox(pools, wanted, "subscriber.store_pool");
  return placed.ok() ? *placed : ReasonOf(placed.status());
}

TEST(Placement, FillsPoolsByTheirWeight) {
  std::vector<Pool> pools = {{.id = "a", .weight = 1}, {.id = "b", .weight = 3}, {.id = "off", .weight = 0}};
  for (int i = 0; i < 400; ++i) {
    const std::string placed = Placed(pools);
    for (Pool& pool : pools) pool.mailboxes += pool.id == placed ? 1 : 0;
  }
  EXPECT_EQ(pools[0].mailboxes, 100);
  EXPECT_EQ(pools[1].mailboxes, 300);
  EXPECT_EQ(pools[2].mailboxes, 0);
}

TEST(Placement, NewPoolIsFilledFirst) {
  EXPECT_EQ(Placed({{.id = "full", .weight = 1, .mailboxes = 1000}, {.id = "new", .weight = 1}}), "new");
}

TEST(Placement, GivenPoolIsTakenEvenWithoutWeight) {
  EXPECT_EQ(Placed({{.id = "a", .weight = 1}, {.id = "off", .weight = 0}}, "off"), "off");
  EXPECT_EQ(Placed({{.id = "a", .weight = 1}}, "none"), "POOL_UNKNOWN");
}

TEST(Placement, WithoutWeightNothingIsChosen) {
  EXPECT_EQ(Placed({}), "NO_STORE_POOL");
  EXPECT_EQ(Placed({{.id = "off", .weight = 0}}), "NO_STORE_POOL");
}

}  // namespace
}  // namespace prov::model
