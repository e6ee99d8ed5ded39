#include "server/api/workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace prov::api {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(Workers, RunWhatIsPosted) {
  Workers workers(2);
  std::promise<int> done;
  workers.Post([&] { done.set_value(7); });
  EXPECT_EQ(done.get_future().get(), 7);
}

TEST(Workers, LaterTasksRunInTheOrderInWhichTheyAreDue) {
  Workers workers(1);
  std::vector<int> order;
  std::promise<void> done;
  workers.PostAfter(milliseconds(40), [&] {
    order.push_back(3);
    done.set_value();
  });
  workers.PostAfter(milliseconds(20), [&] { order.push_back(2); });
  workers.Post([&] { order.push_back(1); });
  done.get_future().wait();
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST(Workers, OneBusyThreadDoesNotDelayTheOthers) {
  Workers workers(2);
  std::promise<void> release, ran;
  workers.Post([&] { release.get_future().wait(); });
  workers.PostAfter(milliseconds(1), [&] { ran.set_value(); });
  ran.get_future().wait();
  release.set_value();
}

TEST(Workers, StopRunsWhatIsReadyAndDropsWhatIsNotDue) {
  std::atomic<int> ran{0};
  const auto held = std::make_shared<int>();
  Workers workers(1);
  std::promise<void> release;
  workers.Post([&] { release.get_future().wait(); });
  for (int i = 0; i < 10; ++i) workers.Post([&] { ++ran; });
  workers.PostAfter(hours(1), [&ran, held] { ran += 100; });
  EXPECT_EQ(held.use_count(), 2);
  release.set_value();
  workers.Stop();
  EXPECT_EQ(ran, 10);
  EXPECT_EQ(held.use_count(), 1);
  workers.Post([&] { ++ran; });
  EXPECT_EQ(ran, 10);
}

TEST(TaskGate, ClosedGateLetsNothingThroughAndWaitsForWhatRuns) {
  Workers workers(2);
  TaskGate gate;
  std::promise<void> started;
  std::atomic<bool> ended{false};
  workers.Post(gate.Wrap([&] {
    started.set_value();
    std::this_thread::sleep_for(milliseconds(20));
    ended = true;
  }));
  started.get_future().wait();
  gate.Close();
  EXPECT_TRUE(ended);
  std::atomic<bool> late{false};
  workers.Post(gate.Wrap([&] { late = true; }));
  workers.Stop();
  EXPECT_FALSE(late);
}

}  // namespace
}  // namespace prov::api
