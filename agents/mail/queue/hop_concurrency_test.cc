#include "agents/mail/queue/hop_concurrency.h"

#include <gtest/gtest.h>

namespace prov::queue {
namespace {

TEST(HopConcurrency, GrowsWhileAllOfItIsUsedAndGoesWell) {
  HopConcurrency concurrency;
  EXPECT_EQ(concurrency.limit(), kFirstConcurrency);
  concurrency.Succeeded(kFirstConcurrency - 1);
  EXPECT_EQ(concurrency.limit(), kFirstConcurrency) << "more were allowed already";
  concurrency.Succeeded(kFirstConcurrency);
  EXPECT_EQ(concurrency.limit(), kFirstConcurrency + 1);
  for (int i = 0; i < 100; ++i) concurrency.Succeeded(concurrency.limit());
  EXPECT_EQ(concurrency.limit(), kMostConcurrency);
}

TEST(HopConcurrency, HalvesWithEachFailureAndNeverEnds) {
  HopConcurrency concurrency;
  concurrency.Failed();
  EXPECT_EQ(concurrency.limit(), kFirstConcurrency / 2);
  for (int i = 0; i < 10; ++i) concurrency.Failed();
  EXPECT_EQ(concurrency.limit(), 1u);
  concurrency.Succeeded(1);
  EXPECT_EQ(concurrency.limit(), 2u) << "it comes back";
}

}  // namespace
}  // namespace prov::queue
