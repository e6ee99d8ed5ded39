// What operators do to a queue, and a long queue at the start.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <fstream>
#include <functional>
#include <map>
#include <optional>

#include "agents/mail/queue/runner.h"
#include "agents/mail/queue/testing/test_spool.h"

namespace prov::queue {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{60};

class HopByDomain final : public route::NextHops {
 public:
  route::HopDecision Find(std::string_view address) const override {
    const std::string domain(address.substr(address.find('@') + 1));
    return route::NextHop{domain, {domain + ":25"}, true, false, std::string(address)};
  }
};

Outcome Taken() { return {State::kDelivered, "250 2.0.0 ok"}; }
Outcome Later() { return {State::kPending, "451 4.3.0 later"}; }
Outcome Unreachable() {
  Outcome outcome{State::kPending, "450 4.4.1 refused"};
  outcome.unreachable = true;
  return outcome;
}

class ScriptedTransport final : public Transport {
 public:
  asio::awaitable<std::vector<Outcome>> Deliver(const DeliveryRequest& request) override {
    std::vector<Outcome> outcomes;
    for (const std::string& address : request.addresses) {
      asked.push_back(address);
      outcomes.push_back(script(address));
    }
    co_return outcomes;
  }
  std::function<Outcome(const std::string& address)> script = [](auto&) { return Taken(); };
  std::vector<std::string> asked;
};

class RunnerControlTest : public testing::Test {
 protected:
  RunnerControlTest() { retry_ = {milliseconds(10), milliseconds(40), std::chrono::hours(1)}; }
  ~RunnerControlTest() override { End(); }

  void Begin() {
    loop_.emplace(1);
    // One thread: what was posted first is done first.
    pool_.emplace(1);
    RunnerOptions options;
    options.hostname = "mx.example.net";
    options.retry = retry_;
    options.most_in_memory = most_in_memory_;
    runner_ = std::make_unique<Runner>(loop_->get_executor(), *spool_, *pool_, hops_, transport_,
                                       std::move(options), SystemClock());
    ASSERT_TRUE(runner_->Start().ok());
  }
  void End() {
    if (!runner_) return;
    runner_->Stop();
    EXPECT_TRUE(RunUntil([this] { return runner_->active() == 0; }));
    pool_->Join();
    loop_->restart();
    loop_->run_for(milliseconds(1));
    runner_.reset();
    pool_.reset();
    loop_.reset();
  }
  void Restart() {
    End();
    spool_.reset();
    spool_ = OpenSpool(directory_.path());
    transport_.asked.clear();
    Begin();
    EXPECT_TRUE(RunUntil([this] { return !runner_->resuming(); }));
  }
  bool RunUntil(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!done() && std::chrono::steady_clock::now() < deadline) loop_->run_one_for(milliseconds(20));
    return done();
  }
  // So that what was due has had its turn.
  void RunAWhile() { loop_->run_for(milliseconds(200)); }

  std::string Add(std::string_view sender, const std::vector<std::string>& recipients) {
    StoredMessage stored = Store(*spool_, TestEnvelope(sender, recipients), "Subject: hello\r\n\r\nbody\r\n");
    const std::string id = stored.envelope.id;
    if (runner_) runner_->Accept(std::move(stored));
    return id;
  }
  // Old messages; `journal` has happened to each.
  void Generate(size_t count, const std::string& journal) {
    const std::string name =
        Store(*spool_, TestEnvelope("old@b.c", {"old@one.example"}), "Subject: old\r\n\r\n").envelope.id;
    const std::string path = directory_.path() + "/active/";
    std::ifstream file(path + name, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(file), {});
    for (size_t i = 0; i < count; ++i) {
      const std::string id = i == 0 ? name : Spool::NewId(std::chrono::system_clock::now());
      std::string copy = text + journal;
      for (size_t at = copy.find(name); at != copy.npos; at = copy.find(name, at + id.size()))
        copy.replace(at, name.size(), id);
      std::ofstream(path + id, std::ios::binary) << copy;
    }
  }
  std::vector<StoredMessage> List(const Selection& selection = {.all = true}) {
    std::vector<StoredMessage> all;
    bool done = false;
    asio::co_spawn(
        *loop_,
        [&]() -> asio::awaitable<void> {
          std::string after;
          do {
            std::vector<StoredMessage> piece = co_await runner_->List(selection, after);
            for (StoredMessage& message : piece) all.push_back(std::move(message));
          } while (!after.empty());
          done = true;
        },
        asio::detached);
    EXPECT_TRUE(RunUntil([&] { return done; }));
    return all;
  }
  Runner::Changed Apply(Runner::Action action, const Selection& selection = {.all = true},
                        bool rehearse = false) {
    std::optional<absl::StatusOr<Runner::Changed>> changed;
    const Runner::Change change{action, selection, "operator/test", rehearse};
    asio::co_spawn(
        *loop_, [&]() -> asio::awaitable<void> { changed = co_await runner_->Apply(change); },
        asio::detached);
    EXPECT_TRUE(RunUntil([&] { return changed.has_value(); }));
    EXPECT_TRUE(changed->ok()) << changed->status();
    return changed->ok() ? **changed : Runner::Changed();
  }

  RetrySchedule retry_;
  size_t most_in_memory_ = kMostInMemory;
  const HopByDomain hops_;
  ScriptedTransport transport_;
  TestQueueDirectory directory_;
  std::unique_ptr<Spool> spool_ = OpenSpool(directory_.path());
  std::optional<asio::io_context> loop_;
  std::optional<net::BlockingPool> pool_;
  std::unique_ptr<Runner> runner_;
};

TEST_F(RunnerControlTest, ShowsWhatWaitsAndWhy) {
  transport_.script = [](auto& address) { return address[0] == 'x' ? Later() : Taken(); };
  Begin();
  const std::string first = Add("a@b.c", {"x@one.example", "y@one.example"});
  const std::string second = Add("", {"x@two.example"});
  ASSERT_TRUE(RunUntil([&] { return transport_.asked.size() >= 6; }));
  const auto all = List();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].envelope.id, first);
  EXPECT_EQ(all[0].envelope.recipients[0].reason, "451 4.3.0 later");
  EXPECT_GT(all[0].envelope.recipients[0].attempts, 0u);
  EXPECT_EQ(all[0].envelope.recipients[1].state, State::kDelivered);
  EXPECT_EQ(List({.recipient_domain = "two.example"}).at(0).envelope.id, second);
  EXPECT_EQ(List({.sender = "<>"}).at(0).envelope.id, second);
  EXPECT_EQ(List({.ids = {first}}).size(), 1u);
  EXPECT_EQ(List({.recipient = "x@one.example"}).size(), 1u);
  // It has him already.
  EXPECT_EQ(List({.recipient = "y@one.example"}).size(), 0u);
  transport_.script = [](auto&) { return Taken(); };
  EXPECT_TRUE(RunUntil([&] { return runner_->messages() == 0; }));
}

TEST_F(RunnerControlTest, AHeldMessageWaitsForItsReleaseThroughARestart) {
  transport_.script = [](auto&) { return Later(); };
  Begin();
  Add("a@b.c", {"x@one.example"});
  ASSERT_TRUE(RunUntil([&] { return !transport_.asked.empty(); }));
  EXPECT_EQ(Apply(Runner::Action::kHold).changed, 1u);
  const auto again = Apply(Runner::Action::kHold);
  EXPECT_EQ(again.matched, 1u);
  EXPECT_EQ(again.changed, 0u);
  EXPECT_TRUE(List().at(0).held);
  transport_.script = [](auto&) { return Taken(); };
  ASSERT_TRUE(RunUntil([&] { return runner_->active() == 0; }));
  Restart();
  RunAWhile();
  EXPECT_TRUE(transport_.asked.empty());
  EXPECT_TRUE(List().at(0).held);
  EXPECT_EQ(Apply(Runner::Action::kFlush).changed, 0u);
  EXPECT_EQ(Apply(Runner::Action::kRelease).changed, 1u);
  EXPECT_TRUE(RunUntil([&] { return runner_->messages() == 0; }));
  EXPECT_EQ(transport_.asked.size(), 1u);
}

TEST_F(RunnerControlTest, AHeldMessageIsNotGivenUpForItsAge) {
  retry_.give_up = milliseconds(50);
  transport_.script = [](auto&) { return Later(); };
  Begin();
  Add("a@b.c", {"x@one.example"});
  EXPECT_EQ(Apply(Runner::Action::kHold).changed, 1u);
  RunAWhile();
  RunAWhile();
  ASSERT_EQ(List().size(), 1u);
  EXPECT_EQ(List()[0].envelope.sender, "a@b.c");
}

TEST_F(RunnerControlTest, WhatIsDroppedIsGoneAndNobodyIsTold) {
  transport_.script = [](auto&) { return Later(); };
  Begin();
  Add("a@b.c", {"x@one.example"});
  Add("a@b.c", {"x@two.example"});
  ASSERT_TRUE(RunUntil([&] { return transport_.asked.size() >= 4; }));
  EXPECT_EQ(Apply(Runner::Action::kDrop, {.recipient_domain = "one.example"}, /*rehearse=*/true).matched, 1u);
  EXPECT_EQ(List().size(), 2u);
  EXPECT_EQ(Apply(Runner::Action::kDrop, {.recipient_domain = "one.example"}).changed, 1u);
  EXPECT_TRUE(RunUntil([&] { return runner_->messages() == 1; }));
  EXPECT_EQ(directory_.Files("active").size(), 1u);
  EXPECT_TRUE(directory_.Files("dead").empty());
  transport_.script = [](auto&) { return Taken(); };
  EXPECT_TRUE(RunUntil([&] { return runner_->messages() == 0; }));
  EXPECT_EQ(std::count(transport_.asked.begin(), transport_.asked.end(), "a@b.c"), 0);
}

// Dropped in the midst of an attempt that then fails for good.
TEST_F(RunnerControlTest, WhatIsDroppedWhileItIsDeliveredMakesNoNotification) {
  Begin();
  Add("a@b.c", {"x@one.example"});
  bool asked = false;
  const Runner::Change drop{Runner::Action::kDrop, {.all = true}, "operator/test"};
  transport_.script = [&](auto&) {
    asio::co_spawn(
        *loop_, [&]() -> asio::awaitable<void> { (void)co_await runner_->Apply(drop); }, asio::detached);
    asked = true;
    return Outcome{State::kFailed, "554 5.7.1 no"};
  };
  ASSERT_TRUE(RunUntil([&] { return asked; }));
  transport_.script = [](auto&) { return Taken(); };
  EXPECT_TRUE(RunUntil([&] { return runner_->messages() == 0; }));
  RunAWhile();
  EXPECT_TRUE(directory_.Files("active").empty());
}

TEST_F(RunnerControlTest, AFlushEndsWaitingAndTheRestOfTheHop) {
  retry_ = {std::chrono::hours(1), std::chrono::hours(1), std::chrono::hours(100)};
  transport_.script = [](auto&) { return Unreachable(); };
  Begin();
  Add("a@b.c", {"x@one.example"});
  ASSERT_TRUE(RunUntil([&] { return !transport_.asked.empty() && runner_->active() == 0; }));
  transport_.script = [](auto&) { return Taken(); };
  EXPECT_EQ(Apply(Runner::Action::kFlush, {.recipient_domain = "other.example"}).matched, 0u);
  EXPECT_EQ(Apply(Runner::Action::kFlush).changed, 1u);
  EXPECT_TRUE(RunUntil([&] { return runner_->messages() == 0; }));
  EXPECT_EQ(transport_.asked.size(), 2u);
}

// One look at the queue's directory, and one piece of it, may come before a new message: never all of it.
TEST_F(RunnerControlTest, ANewMessageIsDeliveredBeforeALongQueueIsRead) {
  constexpr size_t kOld = 20'000;
  Generate(kOld, "");
  size_t read_before = 0;
  bool delivered = false;
  transport_.script = [&](auto& address) {
    if (address == "new@one.example") {
      EXPECT_TRUE(runner_->resuming());
      read_before = runner_->messages();
      delivered = true;
    }
    return Taken();
  };
  Begin();
  Add("a@b.c", {"new@one.example"});
  ASSERT_TRUE(RunUntil([&] { return delivered; }));
  EXPECT_LT(read_before, kOld / 10);
}

// Measured: 250 octets for one on disk alone, whatever its size.
TEST_F(RunnerControlTest, AnIdleMessageTakesLittleMemory) {
  constexpr size_t kIdle = 10'000;
  retry_ = {std::chrono::hours(1), std::chrono::hours(10), std::chrono::hours(100)};
  most_in_memory_ = 0;
  const auto due = std::chrono::system_clock::now() + std::chrono::hours(1);
  Generate(kIdle, FormatEntry({State::kPending, due, due, {0}, "451 4.3.0 later"}));
  const size_t before = mallinfo2().uordblks;
  Begin();
  ASSERT_TRUE(RunUntil([&] { return !runner_->resuming(); }));
  EXPECT_EQ(runner_->messages(), kIdle);
  const size_t each = (mallinfo2().uordblks - before) / kIdle;
  RecordProperty("octets_each", static_cast<int>(each));
  EXPECT_LT(each, 400u);
  EXPECT_TRUE(transport_.asked.empty());
}

// All that can be done to a message can be done to one that lies on disk alone.
class LongQueueTest : public RunnerControlTest {
 protected:
  static constexpr size_t kMessages = 30;
  void SetUp() override {
    most_in_memory_ = 3;
    transport_.script = [](auto&) { return Later(); };
    for (size_t i = 0; i < kMessages; ++i) {
      const std::string domain = i % 3 == 0 ? "one.example" : "two.example";
      Add("a@b.c", {std::to_string(i) + "@" + domain});
    }
  }
};

TEST_F(LongQueueTest, AllIsDeliveredOnceAndTriedAsOftenAsItIsDue) {
  std::map<std::string, int> tries;
  transport_.script = [&](auto& address) { return ++tries[address] < 4 ? Later() : Taken(); };
  Begin();
  EXPECT_TRUE(RunUntil([&] { return !runner_->resuming() && runner_->messages() == 0; }));
  EXPECT_EQ(tries.size(), kMessages);
  EXPECT_EQ(transport_.asked.size(), 4 * kMessages);
  EXPECT_TRUE(directory_.Files("active").empty());
}

TEST_F(LongQueueTest, IsShownInOrderAndWhole) {
  Begin();
  ASSERT_TRUE(RunUntil([&] { return transport_.asked.size() >= 3 * kMessages; }));
  const auto all = List();
  ASSERT_EQ(all.size(), kMessages);
  for (size_t i = 1; i < all.size(); ++i) EXPECT_LT(all[i - 1].envelope.id, all[i].envelope.id);
  EXPECT_EQ(List({.recipient_domain = "one.example"}).size(), kMessages / 3);
  EXPECT_EQ(List({.ids = {all[7].envelope.id, all[20].envelope.id}}).size(), 2u);
}

TEST_F(LongQueueTest, IsHeldReleasedAndDropped) {
  retry_ = {std::chrono::hours(1), std::chrono::hours(1), std::chrono::hours(100)};
  Begin();
  ASSERT_TRUE(RunUntil([&] { return transport_.asked.size() == kMessages && runner_->active() == 0; }));
  const Selection one = {.recipient_domain = "one.example"};
  EXPECT_EQ(Apply(Runner::Action::kHold, one, /*rehearse=*/true).changed, kMessages / 3);
  EXPECT_EQ(Apply(Runner::Action::kHold, one).changed, kMessages / 3);
  EXPECT_EQ(Apply(Runner::Action::kHold).changed, kMessages - kMessages / 3);
  EXPECT_EQ(Apply(Runner::Action::kFlush).changed, 0u);
  transport_.asked.clear();
  transport_.script = [](auto&) { return Taken(); };
  EXPECT_EQ(Apply(Runner::Action::kRelease, one).changed, kMessages / 3);
  EXPECT_TRUE(RunUntil([&] { return runner_->messages() == kMessages - kMessages / 3; }));
  EXPECT_EQ(transport_.asked.size(), kMessages / 3);
  EXPECT_EQ(Apply(Runner::Action::kDrop).changed, kMessages - kMessages / 3);
  EXPECT_TRUE(RunUntil([&] { return runner_->messages() == 0; }));
  EXPECT_TRUE(directory_.Files("active").empty());
  EXPECT_EQ(transport_.asked.size(), kMessages / 3);
}

TEST_F(LongQueueTest, IsFlushedThoughNothingIsDueAndTheHopIsAtRest) {
  retry_ = {std::chrono::hours(1), std::chrono::hours(1), std::chrono::hours(100)};
  transport_.script = [](auto&) { return Unreachable(); };
  Begin();
  ASSERT_TRUE(RunUntil([&] { return !runner_->resuming() && !transport_.asked.empty(); }));
  RunAWhile();
  transport_.script = [](auto&) { return Taken(); };
  EXPECT_EQ(Apply(Runner::Action::kFlush).changed, kMessages);
  EXPECT_TRUE(RunUntil([&] { return runner_->messages() == 0; }));
}

// While the queue is read, others are committed to it, delivered and finished.
TEST_F(RunnerControlTest, NothingIsDeliveredTwiceWhileTheQueueIsRead) {
  for (int i = 0; i < 500; ++i) Add("a@b.c", {"old@one.example"});
  Begin();
  size_t added = 0;
  while (runner_->resuming()) {
    Add("a@b.c", {"new@one.example"});
    ++added;
    loop_->run_one_for(milliseconds(20));
  }
  EXPECT_TRUE(RunUntil([&] { return runner_->messages() == 0; }));
  EXPECT_EQ(transport_.asked.size(), 500 + added);
}

}  // namespace
}  // namespace prov::queue
