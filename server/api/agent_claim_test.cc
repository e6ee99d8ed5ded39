// Two agents with one certificate: a machine that was cloned with all that is on it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/stream_fixture.h"

namespace prov::api {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;

class AgentClaim : public StreamTest {
 protected:
  static void LetTheClaimGrowOld() {
    Execute("UPDATE prov.agent_claim SET last_seen = now() - interval '1 hour'");
  }
  absl::Status Take(const std::string& instance, bool may_take_over) {
    return server_->claims.Take({"mx1", instance}, "ipv4:10.0.0.9:4711", may_take_over);
  }
};

TEST_F(AgentClaim, SecondAgentIsRefusedAndTheFirstGoesOnAndItIsTold) {
  TestAgent first(Dial("agent/mx1"), "first");
  first.Hello(v1::RELAY, 0);
  first.Follow(5);
  TestAgent second(Dial("agent/mx1"), "second");
  second.Hello(v1::RELAY, 5, 5);
  const grpc::Status refused = second.End();
  EXPECT_EQ(refused.error_code(), StatusCode::ALREADY_EXISTS);
  EXPECT_THAT(refused.error_message(), HasSubstr("another agent is mx1 already: at ipv4:127.0.0.1"));
  EXPECT_EQ(ReasonOf(FromGrpcStatus(refused)), store::kIdentityTaken);
  first.Follow(AddSubscribers(1, 3));
  Await("the host's status to tell of it", [&] {
    const auto all = server_->progress.ForHost("mx1");
    return all.ok() && !all->empty() && all->front().failing_items == 1 &&
           all->front().failing.front().key == "identity";
  });
  const auto followers = server_->convergence.Followers(1, true);
  const auto told = std::find_if(followers.begin(), followers.end(),
                                 [](const auto& follower) { return follower.name == "hosts/mx1"; });
  ASSERT_NE(told, followers.end());
  EXPECT_EQ(told->failing_items, 1u);
}

// The stream of the one that was killed may look alive for seconds.
TEST_F(AgentClaim, TheSameAgentStartedAgainIsLetInAtOnce) {
  TestAgent killed(Dial("agent/mx1"), "first");
  killed.Hello(v1::RELAY, 0);
  killed.Follow(5);
  TestAgent again(Dial("agent/mx1"), "first");
  again.Hello(v1::RELAY, 5, 5);
  EXPECT_EQ(killed.End().error_code(), StatusCode::ABORTED);
  again.Follow(AddSubscribers(1, 2));
}

// A restart is no gap for another one to slip in; a machine that is gone for good is replaced.
TEST_F(AgentClaim, AnotherOneTakesOverOnceTheFirstHasBeenSilentForAWhile) {
  ASSERT_TRUE(Take("first", true).ok());
  EXPECT_EQ(ReasonOf(Take("second", true)), store::kIdentityTaken);
  LetTheClaimGrowOld();
  // Nobody kept it because provd, or its database, was away.
  EXPECT_EQ(ReasonOf(Take("second", false)), store::kIdentityTaken);
  EXPECT_TRUE(Take("first", false).ok());
  LetTheClaimGrowOld();
  EXPECT_TRUE(Take("second", true).ok());
  EXPECT_EQ(ReasonOf(Take("first", true)), store::kIdentityTaken);
}

// Of another provd, which could reach the database while this one could not.
TEST_F(AgentClaim, WhoHasLostItsClaimMakesWay) {
  TestAgent first(Dial("agent/mx1"), "first");
  first.Hello(v1::RELAY, 0);
  first.Follow(5);
  LetTheClaimGrowOld();
  ASSERT_TRUE(Take("second", true).ok());
  EXPECT_EQ(first.End().error_code(), StatusCode::ABORTED);
}

// Those of other days do not say which they are.
TEST_F(AgentClaim, AgentsThatDoNotSayWhichTheyAreReplaceEachOther) {
  TestAgent older(Dial("agent/mx1"));
  older.Hello(v1::RELAY, 0);
  older.Follow(5);
  TestAgent newer(Dial("agent/mx1"));
  newer.Hello(v1::RELAY, 5, 5);
  EXPECT_EQ(older.End().error_code(), StatusCode::ABORTED);
}

}  // namespace
}  // namespace prov::api
