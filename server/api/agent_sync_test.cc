#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "server/api/agent_stream_limits.h"
#include "server/api/stream_fixture.h"

namespace prov::api {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class AgentSync : public StreamTest {
 protected:
  // Sends one thing after Hello and says how the stream ended.
  grpc::Status AfterHello(const v1::SyncRequest& request) {
    TestAgent agent(Dial("agent/mx1"));
    agent.Hello(v1::RELAY, 0);
    agent.Follow(1);
    agent.Send(request);
    return agent.End();
  }

  store::HostProgress Recorded(const std::string& host) {
    const auto all = server_->progress.ForHost(host);
    return all.ok() && !all->empty() ? all->front() : store::HostProgress();
  }
};

TEST_F(AgentSync, AgentTakesASnapshotThenDeltasAndItsAcknowledgementsCount) {
  const uint64_t first = AddSubscribers(1, 4);
  TestAgent agent(Dial("agent/mx1"));
  agent.Hello(v1::RELAY, 0);
  agent.Follow(first);
  EXPECT_EQ(agent.snapshots, 1);
  EXPECT_THAT(agent.records, SizeIs(6));  // the domain, both pools, and subscribers
  const uint64_t second = AddSubscribers(4, 6);
  agent.Follow(second);
  EXPECT_EQ(agent.snapshots, 1);
  EXPECT_THAT(agent.records, SizeIs(8));
  Await("the acknowledgement is recorded",
        [&] { return Recorded("mx1").applied_revision == second && Recorded("mx1").connected; });
  EXPECT_EQ(Recorded("mx1").agent_version, "test");
  agent.Cancel();
  Await("the disconnection is recorded", [&] { return !Recorded("mx1").connected; });
}

TEST_F(AgentSync, ReturningAgentIsSentOnlyWhatChanged) {
  const uint64_t first = AddSubscribers(1, 4);
  {
    TestAgent agent(Dial("agent/store1"));
    agent.Hello(v1::STORE, 0);
    agent.Follow(first);
    agent.Cancel();
  }
  const uint64_t second = AddSubscribers(4, 5);
  TestAgent agent(Dial("agent/store1"));
  agent.Hello(v1::STORE, first, first);
  agent.Follow(second);
  EXPECT_EQ(agent.snapshots, 0);
  EXPECT_THAT(agent.records, SizeIs(1));
}

TEST_F(AgentSync, EndpointsOfOneHostReachTheOthersThatUseThem) {
  TestAgent relay(Dial("agent/mx1"));
  relay.Hello(v1::RELAY, 0);
  TestAgent store(Dial("agent/store1"));
  store.Hello(v1::STORE, 0, 0, {{"lmtp", "127.0.0.1:2424"}, {"pop3", "127.0.0.1:2110"}});
  uint64_t revision = 0;
  Await("the endpoints are a write", [&] {
    revision = server_->watch.head();
    return revision > 5;
  });
  relay.Follow(revision);
  const v1::PoolMembers& pool = relay.records["pools/main"].pool();
  ASSERT_EQ(pool.members_size(), 1);
  EXPECT_EQ(pool.members(0).endpoints().at("lmtp"), "127.0.0.1:2424");
  EXPECT_EQ(pool.members(0).endpoints().count("pop3"), 0);
}

TEST_F(AgentSync, AgentThatLiesAboutItsRoleIsRefused) {
  TestAgent agent(Dial("agent/mx1"));
  agent.Hello(v1::STORE, 0);
  const grpc::Status status = agent.End();
  EXPECT_EQ(status.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("\"mx1\" may not follow as store"));
  EXPECT_EQ(server_->refused, 1) << "a denied call is audited";
}

TEST_F(AgentSync, UnknownHostIsRefused) {
  TestAgent agent(Dial("agent/stranger"));
  agent.Hello(v1::RELAY, 0);
  EXPECT_EQ(agent.End().error_code(), StatusCode::PERMISSION_DENIED);
}

TEST_F(AgentSync, OnlyAgentsMayFollow) {
  TestAgent agent(Dial("operator/admin"));
  agent.Hello(v1::RELAY, 0);
  EXPECT_EQ(agent.End().error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(server_->refused, 1);
}

TEST_F(AgentSync, EvictionEndsTheStream) {
  TestAgent agent(Dial("agent/mx1"));
  agent.Hello(v1::RELAY, 0);
  agent.Follow(5);
  SetHostState("mx1", model::HostState::kEvicted);
  EXPECT_EQ(agent.End().error_code(), StatusCode::PERMISSION_DENIED);
}

TEST_F(AgentSync, AgentThatClaimsMoreThanItWasSentIsRefused) {
  v1::SyncRequest request;
  request.mutable_progress()->set_nonce(2);
  request.mutable_progress()->set_received_revision(5);
  request.mutable_progress()->set_applied_revision(1000);
  const grpc::Status status = AfterHello(request);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("progress.applied_revision"));
  for (const feed::Follower& follower : server_->convergence.Followers(1000, false)) {
    EXPECT_NE(follower.state, feed::FollowerState::kCurrent) << follower.name;
  }
}

TEST_F(AgentSync, AgentThatAnswersWhatWasNotAskedIsRefused) {
  v1::SyncRequest request;
  request.mutable_progress()->set_nonce(1000);
  EXPECT_EQ(AfterHello(request).error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(AgentSync, StateOfAnotherDatabaseCountsForNothing) {
  const uint64_t head = AddSubscribers(1, 2);
  TestAgent agent(Dial("agent/mx1"));
  agent.Hello(v1::RELAY, head + 500, head + 500);
  agent.Progress(0, head + 500, head + 500);  // tells of its old state until the snapshot is in
  agent.revision = 0;
  agent.Follow(head);
  EXPECT_EQ(agent.snapshots, 1);
  Await("the new state counts", [&] { return Recorded("mx1").applied_revision == head; });
}

TEST_F(AgentSync, LimitsOnWhatAnAgentSends) {
  v1::SyncRequest request;
  for (int i = 0; i <= kMaxFailingItems; ++i) request.mutable_progress()->add_failing()->set_key("k");
  request.mutable_progress()->set_failing_items(kMaxFailingItems + 1);
  EXPECT_EQ(AfterHello(request).error_code(), StatusCode::INVALID_ARGUMENT);
  request.Clear();
  request.mutable_progress()->add_failing()->set_error(std::string(kMaxRequestOctets, 'x'));
  EXPECT_EQ(AfterHello(request).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  request.Clear();
  request.mutable_hello()->set_role(v1::RELAY);
  EXPECT_EQ(AfterHello(request).error_code(), StatusCode::INVALID_ARGUMENT);

  TestAgent no_hello(Dial("agent/mx1"));
  no_hello.Progress(0, 0, 0);
  EXPECT_EQ(no_hello.End().error_code(), StatusCode::INVALID_ARGUMENT);
  TestAgent bad_endpoint(Dial("agent/mx1"));
  bad_endpoint.Hello(v1::RELAY, 0, 0, {{"smtp", "no port"}});
  EXPECT_EQ(bad_endpoint.End().error_code(), StatusCode::INVALID_ARGUMENT);
  TestAgent no_role(Dial("agent/mx1"));
  no_role.Hello(v1::ROLE_UNSPECIFIED, 0);
  EXPECT_EQ(no_role.End().error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(AgentSync, FailingItemsAreToldAndRecorded) {
  TestAgent agent(Dial("agent/mx1"));
  agent.Hello(v1::RELAY, 0);
  agent.Follow(5);
  v1::SyncRequest request;
  v1::Progress* progress = request.mutable_progress();
  progress->set_nonce(agent.nonce);
  progress->set_received_revision(agent.revision);
  progress->set_applied_revision(agent.revision);
  progress->set_failing_items(1);
  progress->add_failing()->set_key("subscribers/7");
  progress->mutable_failing(0)->set_error("disk full");
  agent.Send(request);
  Await("the failing item is recorded", [&] { return Recorded("mx1").failing.size() == 1; });
  EXPECT_EQ(Recorded("mx1").failing[0].error, "disk full");
}

TEST_F(AgentSync, SecondStreamOfTheSameHostAndRoleTakesOver) {
  TestAgent older(Dial("agent/mx1"));
  older.Hello(v1::RELAY, 0);
  older.Follow(5);
  TestAgent newer(Dial("agent/mx1"));
  newer.Hello(v1::RELAY, 5, 5);
  EXPECT_EQ(older.End().error_code(), StatusCode::ABORTED);
  newer.Follow(AddSubscribers(1, 2));
  Await("one stream is left", [&] { return server_->agent_sync.open_streams() == 1; });
}

TEST_F(AgentSync, HostHasALimitedNumberOfStreams) {
  std::vector<std::unique_ptr<TestAgent>> agents;
  const auto channel = Dial("agent/mx1");
  for (size_t i = 0; i < kMaxStreamsPerHost; ++i) agents.push_back(std::make_unique<TestAgent>(channel));
  Await("all are there", [&] { return server_->agent_sync.open_streams() == kMaxStreamsPerHost; });
  TestAgent one_more(channel);
  EXPECT_EQ(one_more.End().error_code(), StatusCode::RESOURCE_EXHAUSTED);
  for (const auto& agent : agents) agent->Cancel();
  for (const auto& agent : agents) agent->End();
}

// I9: what an agent has yet to read is not made yet.
TEST_F(AgentSync, AgentThatDoesNotReadOrAcknowledgeHoldsNothingUp) {
  const uint64_t head = AddSubscribers(0, 10000);
  grpc::ChannelArguments small;
  small.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  small.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 16384);
  TestAgent slow(Dial("agent/mx1", small));
  const int before = server_->snapshots.opened;
  slow.Hello(v1::RELAY, 0);
  TestAgent quick(Dial("agent/store1"));
  quick.Hello(v1::STORE, 0);
  quick.Follow(head);
  EXPECT_THAT(quick.records, SizeIs(10002));  // with the domain and the pool
  const int quick_pages = 25;                 // 20 of subscribers, and those before and after
  EXPECT_LE(server_->snapshots.opened - before, quick_pages + 12);

  // What is read but not acknowledged counts, too.
  std::atomic<uint64_t> batches{0};
  std::thread reader([&] {
    while (const auto message = slow.Read()) {
      if (message->has_batch()) ++batches;
    }
  });
  Await("as many batches as may be unacknowledged", [&] { return batches >= kMaxUnacknowledgedBatches; });
  for (int i = 0; i < 3; ++i) quick.Follow(AddSubscribers(10000 + i, 10001 + i));  // some time passes
  EXPECT_EQ(batches, kMaxUnacknowledgedBatches);
  slow.Progress(1, 0, 0);
  Await("one more for the one that was acknowledged", [&] { return batches > kMaxUnacknowledgedBatches; });
  slow.Cancel();
  reader.join();
  EXPECT_EQ(batches, kMaxUnacknowledgedBatches + 1);
}

TEST_F(AgentSync, AgentThatVanishesLeavesNothingBehind) {
  AddSubscribers(0, 3000);
  for (int i = 0; i < 20; ++i) {
    TestAgent agent(Dial(i % 2 == 0 ? "agent/mx1" : "agent/store1"));
    agent.Hello(i % 2 == 0 ? v1::RELAY : v1::STORE, 0);
    if (i % 3 == 0) agent.Read();
    agent.Cancel();
    agent.End();
  }
  Await("no stream is left", [&] { return server_->agent_sync.open_streams() == 0; });
  for (const feed::Follower& follower : server_->convergence.Followers(1, true)) {
    EXPECT_EQ(follower.state, feed::FollowerState::kAbsent) << follower.name;
  }
}

// One stream has one batch on its way, however far the head runs ahead of a round that another agent's look
// made.
TEST_F(AgentSync, AgentsThatShareRoundsFollowWritersThatDoNotPause) {
  constexpr int kAgents = 8, kWriters = 3, kWrites = 20, kEach = 100;
  std::vector<std::unique_ptr<TestAgent>> agents;
  for (int i = 0; i < kAgents; ++i) {
    const std::string host = fmt::format("relay{}", i);
    const uint64_t added = AddHost(host, {"mx"});
    agents.push_back(std::make_unique<TestAgent>(Dial("agent/" + host)));
    agents.back()->Hello(v1::RELAY, 0);
    agents.back()->Follow(added);
  }
  std::vector<std::thread> threads;
  for (int writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([this, writer] {
      for (int i = 0; i < kWrites; ++i) {
        const int first = (writer * kWrites + i) * kEach;
        AddSubscribers(first, first + kEach);
      }
    });
  }
  for (const auto& agent : agents) {
    threads.emplace_back([&] { agent->Follow(5 + kAgents + kWriters * kWrites); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& agent : agents) EXPECT_THAT(agent->records, SizeIs(kWriters * kWrites * kEach + 3));
}

// I5: what is quiet stays connected, what needs the database is told to come again, and nothing is skipped.
TEST_F(AgentSync, DatabaseThatWasAwayDelaysAndLosesNothing) {
  TestAgent agent(Dial("agent/mx1"));
  agent.Hello(v1::RELAY, 0);
  agent.Follow(5);
  StopDatabase();
  TestAgent during(Dial("agent/store1"));
  during.Hello(v1::STORE, 0);
  EXPECT_EQ(during.End().error_code(), StatusCode::UNAVAILABLE);
  StartDatabase();
  const auto write = [&] {
    return server_->writes
        .Run({.caller = "operator/test", .method = "/test"},
             [](store::WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
               write.AddChange(store::AggregateKind::kDomain, "example.net");
               return store::WriteResult{.audit = {{"test", "", ""}}};
             })
        .ok();
  };
  Await("the database takes writes again", write);
  TestAgent after(Dial("agent/store1"));
  after.Hello(v1::STORE, 0);
  after.Follow(6);
  agent.Follow(6);
  EXPECT_EQ(agent.snapshots, 1);
}

TEST_F(AgentSync, ShutDownEndsIdleBusyAndSilentStreams) {
  AddSubscribers(0, 5000);
  TestAgent idle(Dial("agent/mx1"));
  idle.Hello(v1::RELAY, 0);
  idle.Follow(6);
  grpc::ChannelArguments small;
  small.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  TestAgent unread(Dial("agent/store1", small));
  unread.Hello(v1::STORE, 0);
  TestAgent silent(Dial("agent/store1"));
  Await("all are there", [&] { return server_->agent_sync.open_streams() == 3; });
  server_->agent_sync.ShutDown();
  EXPECT_EQ(server_->agent_sync.open_streams(), 0);
  EXPECT_EQ(idle.End().error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(silent.End().error_code(), StatusCode::UNAVAILABLE);
  EXPECT_FALSE(unread.End().ok());
  TestAgent late(Dial("agent/mx1"));
  EXPECT_EQ(late.End().error_code(), StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace prov::api
