#include "agents/mail/net/in_turn.h"

#include <gtest/gtest.h>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/use_future.hpp>
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace prov::net {
namespace {

using std::chrono::milliseconds;

// Work that hangs until it is released.
class Hanging {
 public:
  ~Hanging() { Release(); }
  void On(BlockingPool& pool, const std::string& name) {
    pool.PostFor(name, [this] { EXPECT_TRUE(Run().ok()); });
  }
  absl::Status Run() {
    ++begun_;
    released_.wait();
    return absl::OkStatus();
  }
  void Release() {
    if (!std::exchange(done_, true)) release_.set_value();
  }
  void WaitUntilBegun(int count) const {
    while (begun_ < count) std::this_thread::yield();
  }
  int begun() const { return begun_; }

 private:
  std::promise<void> release_;
  std::shared_future<void> released_ = release_.get_future().share();
  std::atomic<int> begun_{0};
  bool done_ = false;
};

template <typename Work>
absl::Status Await(BlockingPool& pool, const Turn& turn, const Work& work) {
  asio::io_context loop;
  std::future<absl::Status> result = asio::co_spawn(loop, RunInTurn(pool, turn, work), asio::use_future);
  loop.run();
  return result.get();
}

constexpr auto kNothing = [] { return absl::OkStatus(); };

TEST(InTurn, WhatHangsForOneNameLeavesThreadsToOthersAndIsDoneInTheEnd) {
  Hanging hanging;
  BlockingPool pool(8);
  for (int i = 0; i < 20; ++i) hanging.On(pool, "hung");
  EXPECT_TRUE(Await(pool, {"other", std::chrono::seconds(30)}, kNothing).ok());
  hanging.WaitUntilBegun(2);
  EXPECT_EQ(hanging.begun(), 2) << "a quarter of the threads";
  EXPECT_EQ(pool.Waiting(), milliseconds(0)) << "who waits for a name does not wait for a thread";
  hanging.Release();
  pool.Join();
  EXPECT_EQ(hanging.begun(), 20);
}

TEST(InTurn, WhatHasNotBegunInTimeNeverDoes) {
  Hanging hanging;
  BlockingPool pool(1);
  hanging.On(pool, "one");
  hanging.WaitUntilBegun(1);
  std::atomic<bool> ran = false;
  const auto work = [&ran] {
    ran = true;
    return absl::OkStatus();
  };
  EXPECT_TRUE(absl::IsUnavailable(Await(pool, {"two", milliseconds(1)}, work)));
  EXPECT_TRUE(absl::IsUnavailable(Await(pool, {"one", milliseconds(1)}, work)));
  hanging.Release();
  pool.Join();
  EXPECT_FALSE(ran);
}

TEST(InTurn, WhatIsLeftToItselfEndsWithoutItsCaller) {
  Hanging hanging;
  BlockingPool pool(1);
  const auto hangs = [&hanging] { return hanging.Run(); };
  EXPECT_TRUE(absl::IsUnavailable(Await(pool, {"one", milliseconds(1), Turn::Until::kDone}, hangs)));
  hanging.Release();
  pool.Join();
}

TEST(InTurn, TheLineIsAsOldAsItsFirst) {
  Hanging hanging;
  BlockingPool pool(1);
  hanging.On(pool, "one");
  hanging.WaitUntilBegun(1);
  EXPECT_EQ(pool.Waiting(), milliseconds(0));
  pool.Post([] {});
  const auto waited = pool.Waiting();
  EXPECT_GT(waited, milliseconds(0));
  pool.Post([] {});
  EXPECT_GT(pool.Waiting(), waited);
  hanging.Release();
  pool.Join();
  EXPECT_EQ(pool.Waiting(), milliseconds(0));
}

}  // namespace
}  // namespace prov::net
