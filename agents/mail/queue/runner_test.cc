#include "agents/mail/queue/runner.h"

#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <atomic>
#include <functional>
#include <thread>

#include "agents/mail/queue/testing/test_spool.h"

namespace prov::queue {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{60};

// Sends all to the hop named by the address's domain; `shares_our_view` for example.net.
class HopsByDomain final : public route::NextHops {
 public:
  route::HopDecision Find(std::string_view address) const override {
    ++asked;
    const std::string domain(address.substr(address.find('@') + 1));
    if (domain == "nowhere.example") return route::NoWay{"550 5.1.1 gone"};
    if (domain == "later.example") return route::NotNow{"451 4.4.1 no host", true};
    return route::NextHop{domain, {domain + ":25"}, true, domain == "example.net", std::string(address)};
  }

  mutable std::atomic<size_t> asked{0};
};

// Another server, as its client sees it.
class ScriptedTransport final : public Transport {
 public:
  using Script = std::function<Outcome(const Envelope& envelope, const std::string& address)>;
  explicit ScriptedTransport(Script script) : script_(std::move(script)) {}

  asio::awaitable<std::vector<Outcome>> Deliver(const DeliveryRequest& request) override {
    std::vector<Outcome> outcomes;
    for (const std::string& address : request.addresses) {
      asked.push_back({request.message->envelope.sender, address});
      outcomes.push_back(script_(request.message->envelope, address));
      if (outcomes.back().state == State::kDelivered) {
        delivered[address] += ContentOf(*request.spool, *request.message);
      }
    }
    co_return outcomes;
  }

  std::vector<std::pair<std::string, std::string>> asked;  // sender and recipient
  std::map<std::string, std::string> delivered;            // by recipient

 private:
  const Script script_;
};

Outcome Taken() { return {State::kDelivered, "250 2.0.0 ok"}; }
Outcome Refused() { return {State::kFailed, "554 5.7.1 no"}; }
Outcome Later() { return {State::kPending, "451 4.3.0 later"}; }
Outcome Unreachable() {
  Outcome outcome{State::kPending, "450 4.4.1 refused"};
  outcome.unreachable = true;
  return outcome;
}

class RunnerTest : public testing::Test {
 protected:
  // Runs the queue until it is empty, `until` holds, or patience ends.
  void Run(
      ScriptedTransport& transport, std::function<bool()> until = [] { return false; },
      milliseconds give_up = std::chrono::hours(1)) {
    RunWith(transport, {milliseconds(10), milliseconds(40), give_up}, SystemClock(), std::move(until));
  }
  void RunWith(ScriptedTransport& transport, const RetrySchedule& retry, const Clock& clock,
               const std::function<bool()>& until) {
    asio::io_context loop(1);
    net::BlockingPool pool(2);
    Runner runner(loop.get_executor(), *spool_, pool, hops_, transport, {"mx.example.net", retry}, clock);
    ASSERT_TRUE(runner.Start().ok());
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while ((runner.resuming() || runner.messages() > 0) && !until() &&
           std::chrono::steady_clock::now() < deadline) {
      loop.run_one_for(milliseconds(20));
    }
    EXPECT_LT(std::chrono::steady_clock::now(), deadline);
    runner.Stop();
    while (runner.active() > 0) loop.run_one_for(milliseconds(20));
    pool.Join();
    loop.restart();
    loop.run_for(milliseconds(1));
  }
  void Add(std::string_view sender, const std::vector<std::string>& recipients) {
    Store(*spool_, TestEnvelope(sender, recipients), "Subject: hello\r\n\r\nbody\r\n");
  }
  void Reopen() {
    spool_.reset();
    spool_ = OpenSpool(directory_.path());
  }

  const HopsByDomain hops_;
  TestQueueDirectory directory_;
  std::unique_ptr<Spool> spool_ = OpenSpool(directory_.path());
};

TEST_F(RunnerTest, DeliversAndForgets) {
  Add("a@b.c", {"x@one.example", "y@two.example", "z@two.example"});
  ScriptedTransport transport([](auto&, auto&) { return Taken(); });
  Run(transport);
  EXPECT_EQ(transport.delivered.size(), 3u);
  EXPECT_EQ(transport.delivered["x@one.example"], "Subject: hello\r\n\r\nbody\r\n");
  EXPECT_TRUE(directory_.Files("active").empty());
  EXPECT_TRUE(directory_.Files("dead").empty());
}

TEST_F(RunnerTest, TriesAgainUntilItIsTakenAndNobodyTwice) {
  Add("a@b.c", {"x@one.example", "y@one.example"});
  int tries = 0;
  ScriptedTransport transport([&](auto&, const std::string& address) {
    if (address == "y@one.example") return Taken();
    return ++tries < 5 ? Later() : Taken();
  });
  Run(transport);
  EXPECT_EQ(tries, 5);
  EXPECT_EQ(transport.asked.size(), 6u);  // y once
}

TEST_F(RunnerTest, ComesBackSoonToAHostThatCouldNotBeReached) {
  Add("a@b.c", {"x@one.example", "y@example.net"});
  std::map<std::string, int> tries;
  ScriptedTransport transport(
      [&](auto&, const std::string& address) { return ++tries[address] < 3 ? Unreachable() : Taken(); });
  Run(transport);
  EXPECT_EQ(transport.delivered.size(), 2u);
}

TEST_F(RunnerTest, TellsTheSenderOfEachFailure) {
  Add("a@b.c", {"x@one.example", "y@one.example", "z@nowhere.example"});
  ScriptedTransport transport([](const Envelope& envelope, const std::string& address) {
    if (envelope.sender.empty()) return Taken();
    return address == "y@one.example" ? Taken() : Refused();
  });
  Run(transport);
  const std::string& told = transport.delivered["a@b.c"];
  EXPECT_NE(told.find("Action: failed"), told.npos);
  EXPECT_EQ(told.find("y@one.example"), told.npos);
  for (const auto& [sender, address] : transport.asked) {
    EXPECT_EQ(sender, address == "a@b.c" ? "" : "a@b.c");
  }
  EXPECT_TRUE(directory_.Files("active").empty());
  EXPECT_TRUE(directory_.Files("dead").empty());
}

TEST_F(RunnerTest, NullSenderIsNeverAnswered) {
  Add("", {"x@one.example", "y@two.example"});
  ScriptedTransport transport(
      [](auto&, const std::string& address) { return address[0] == 'x' ? Refused() : Taken(); });
  Run(transport);
  EXPECT_EQ(transport.asked.size(), 2u);
  EXPECT_TRUE(directory_.Files("active").empty());
  EXPECT_EQ(directory_.Files("dead").size(), 1u);
}

// A notification that nobody takes ends as dead, and makes no other.
TEST_F(RunnerTest, NotificationsOfNotificationsDoNotExist) {
  Add("nobody@one.example", {"x@one.example"});
  ScriptedTransport transport([](auto&, auto&) { return Refused(); });
  Run(transport);
  EXPECT_EQ(transport.asked.size(), 2u);
  EXPECT_TRUE(directory_.Files("active").empty());
  EXPECT_EQ(directory_.Files("dead").size(), 1u);
}

TEST_F(RunnerTest, GivesUpInTime) {
  Add("a@b.c", {"x@later.example", "y@one.example"});
  ScriptedTransport transport(
      [](const Envelope& envelope, auto&) { return envelope.sender.empty() ? Taken() : Later(); });
  Run(
      transport, [] { return false; }, milliseconds(300));
  const std::string& told = transport.delivered["a@b.c"];
  EXPECT_NE(told.find("no host"), told.npos);
  EXPECT_NE(told.find("451 4.3.0 later"), told.npos);
}

// What our own store does not know yet may come with its next batch: no notification for that.
TEST_F(RunnerTest, UnknownToAHostOfOursIsAskedAgain) {
  Add("a@b.c", {"new@example.net", "new@other.example"});
  std::map<std::string, int> tries;
  ScriptedTransport transport([&](const Envelope& envelope, const std::string& address) {
    if (envelope.sender.empty() || ++tries[address] == 3) return Taken();
    return Outcome{State::kFailed, "550 5.1.1 unknown"};
  });
  Run(transport);
  EXPECT_TRUE(transport.delivered.contains("new@example.net"));
  EXPECT_EQ(tries["new@other.example"], 1);
  EXPECT_EQ(transport.delivered.count("a@b.c"), 1u);
}

TEST_F(RunnerTest, ResumesWithThoseWhoHaveNotGotIt) {
  Add("a@b.c", {"x@one.example", "y@one.example"});
  {
    ScriptedTransport transport(
        [](auto&, const std::string& address) { return address[0] == 'x' ? Taken() : Later(); });
    Run(transport, [&] { return transport.asked.size() >= 3; });
  }
  Reopen();
  ScriptedTransport transport([](auto&, auto&) { return Taken(); });
  Run(transport);
  ASSERT_EQ(transport.asked.size(), 1u);
  EXPECT_EQ(transport.asked[0].second, "y@one.example");
}

// A hundred thousand messages for a host that is down must not keep the loop busy until it is asked again.
TEST_F(RunnerTest, MessagesForAHopThatRestsWaitUntilItsRestIsOver) {
  constexpr size_t kMessages = 20;
  for (size_t i = 0; i < kMessages; ++i) Add("a@b.c", {"x@down.example"});
  ScriptedTransport transport([](auto&, auto&) { return Unreachable(); });
  const RetrySchedule retry = {std::chrono::seconds(3), std::chrono::seconds(3), std::chrono::hours(1)};
  RunWith(transport, retry, SystemClock(), [&] { return transport.asked.size() > 1; });
  // Once when they came, and once when the rest was over.
  EXPECT_LE(hops_.asked, 2 * kMessages);
}

// A clock that is corrected backwards between two looks at it.
TEST_F(RunnerTest, AClockThatIsSetBackStopsNobody) {
  class UnsteadyClock final : public Clock {
   public:
    Time Now() const override { return SystemClock().Now() - milliseconds(++looks_ % 2 == 0 ? 30 : 0); }
    std::chrono::steady_clock::time_point Monotonic() const override { return SystemClock().Monotonic(); }

   private:
    mutable int looks_ = 0;
  } clock;
  for (int i = 0; i < 20; ++i) Add("a@b.c", {"x@one.example"});
  std::map<std::string, int> tries;
  ScriptedTransport transport(
      [&](const Envelope& envelope, auto&) { return ++tries[envelope.id] < 4 ? Later() : Taken(); });
  RunWith(transport, {milliseconds(10), milliseconds(40), std::chrono::hours(1)}, clock,
          [] { return false; });
  EXPECT_EQ(tries.size(), 20u);
  EXPECT_TRUE(directory_.Files("active").empty());
}

// What was planned under a clock that was a week ahead is not due in a week, and a clock that jumps a week
// ahead does not give up what was tried once.
TEST_F(RunnerTest, AClockThatJumpsByAWeekNeitherHoldsMailNorGivesItUp) {
  class JumpingClock final : public Clock {
   public:
    Time Now() const override { return SystemClock().Now() + ahead; }
    std::chrono::steady_clock::time_point Monotonic() const override { return SystemClock().Monotonic(); }
    std::chrono::hours ahead{0};
  } clock;
  constexpr std::chrono::hours kWeek{7 * 24};
  Add("a@b.c", {"x@one.example"});
  int tries = 0;
  ScriptedTransport transport([&](auto&, auto&) {
    ++tries;
    if (tries == 1) clock.ahead = kWeek;
    if (tries == 2) clock.ahead = std::chrono::hours(0);
    return tries < 3 ? Later() : Taken();
  });
  RunWith(transport, {milliseconds(10), milliseconds(40), std::chrono::hours(5 * 24)}, clock,
          [] { return false; });
  EXPECT_EQ(transport.delivered.size(), 1u);
  EXPECT_TRUE(directory_.Files("active").empty());
}

// Killed after the notification was made and before the failure was noted: the one that lies there is the
// one.
TEST_F(RunnerTest, ANotificationThatLiesThereAlreadyIsNotWrittenOver) {
  const Envelope original = TestEnvelope("a@b.c", {"x@one.example"});
  Store(*spool_, original, "Subject: hello\r\n\r\nbody\r\n");
  Envelope earlier = TestEnvelope("", {"a@b.c"});
  earlier.id = original.id + "d0";
  Store(*spool_, earlier, "Subject: told\r\n\r\nbefore the end\r\n");
  bool failed = false;
  ScriptedTransport transport([&](const Envelope& envelope, auto&) {
    if (!envelope.sender.empty()) return failed = true, Refused();
    return failed && !spool_->Has(original.id) ? Taken() : Later();
  });
  Run(transport);
  EXPECT_EQ(transport.delivered["a@b.c"], "Subject: told\r\n\r\nbefore the end\r\n");
}

}  // namespace
}  // namespace prov::queue
