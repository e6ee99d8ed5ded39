// Inspections that an operator asks of a host's agents.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/api/agent_stream_limits.h"
#include "server/api/stream_fixture.h"
#include "server/store/fleet_repository.h"

namespace prov::api {
namespace {

using grpc::StatusCode;

constexpr uint64_t kFleetRevision = 5;

class AgentInspection : public StreamTest {
 protected:
  uint64_t Ask(bool repair) {
    return Write([&](store::WriteTransaction& write) {
      return store::FleetRepository::RequestInspection(write, "mx1", repair).status();
    });
  }

  // Reads until the agent is asked for one.
  static v1::InspectionRequest Asked(TestAgent& agent) {
    while (const auto message = agent.Read()) {
      if (message->has_batch()) Note(message->batch(), agent);
      if (message->has_inspection_request()) return message->inspection_request();
    }
    ADD_FAILURE() << agent.End().error_message();
    return {};
  }
  // Whether it is, until its copy has the revision.
  static bool IsAskedUntil(TestAgent& agent, uint64_t revision) {
    while (agent.revision < revision) {
      const auto message = agent.Read();
      if (!message || message->has_inspection_request()) return true;
      if (message->has_batch()) Note(message->batch(), agent);
    }
    return false;
  }
  static void Note(const v1::Batch& batch, TestAgent& agent) {
    agent.nonce = batch.nonce();
    agent.revision = std::max(agent.revision, batch.to_revision());
  }

  static v1::SyncRequest Report(const TestAgent& agent, uint64_t number, bool ended) {
    v1::SyncRequest request;
    v1::Progress* progress = request.mutable_progress();
    progress->set_nonce(agent.nonce);
    progress->set_received_revision(agent.revision);
    progress->set_applied_revision(agent.revision);
    v1::Inspection* inspection = progress->mutable_inspection();
    inspection->set_number(number);
    inspection->mutable_begin_time()->set_seconds(1000);
    if (ended) inspection->mutable_end_time()->set_seconds(1001);
    inspection->set_inspected_records(7);
    inspection->set_drifting(1);
    v1::Drift* drift = inspection->add_drifts();
    drift->set_key("subscribers/7");
    drift->set_driver("routes");
    drift->set_difference("leads nowhere");
    return request;
  }

  // An agent is asked for the first inspection, tells of it, at its end or on the way, and goes away. The
  // revision of the asking.
  uint64_t AskAndGoAway(bool ended) {
    TestAgent agent(Dial("agent/mx1"));
    agent.Hello(v1::RELAY, 0);
    agent.Follow(kFleetRevision);
    const uint64_t revision = Ask(false);
    EXPECT_EQ(Asked(agent).number(), 1u);
    agent.Send(Report(agent, 1, ended));
    AwaitRecorded(1, ended);
    agent.Cancel();
    return revision;
  }

  std::optional<store::Inspection> Recorded() {
    const auto all = server_->progress.ForHost("mx1");
    return all.ok() && !all->empty() ? all->front().inspection : std::nullopt;
  }
  void AwaitRecorded(uint64_t number, bool ended) {
    Await("the inspection is recorded", [&] {
      const auto recorded = Recorded();
      return recorded && recorded->number == number && recorded->end.has_value() == ended;
    });
  }
};

TEST_F(AgentInspection, IsAskedOfAnAgentThatFollowsAndItsAnswerIsRecorded) {
  TestAgent agent(Dial("agent/mx1"));
  agent.Hello(v1::RELAY, 0);
  agent.Follow(kFleetRevision);
  Ask(true);
  const v1::InspectionRequest asked = Asked(agent);
  EXPECT_EQ(asked.number(), 1u);
  EXPECT_TRUE(asked.repair());
  agent.Send(Report(agent, 1, true));
  AwaitRecorded(1, true);
  ASSERT_EQ(Recorded()->drifts.size(), 1u);
  EXPECT_EQ(Recorded()->drifts[0].difference, "leads nowhere");
  EXPECT_EQ(Recorded()->inspected_records, 7u);
}

TEST_F(AgentInspection, IsAskedAgainOfAnAgentThatWentAwayBeforeItsEnd) {
  const uint64_t revision = AskAndGoAway(false);
  TestAgent agent(Dial("agent/mx1"));
  agent.Hello(v1::RELAY, revision, revision);
  agent.revision = revision;
  EXPECT_EQ(Asked(agent).number(), 1u);
}

TEST_F(AgentInspection, IsNotAskedTwiceOfAnAgentThatHasAnswered) {
  const uint64_t revision = AskAndGoAway(true);
  TestAgent agent(Dial("agent/mx1"));
  agent.Hello(v1::RELAY, revision, revision);
  agent.revision = revision;
  EXPECT_FALSE(IsAskedUntil(agent, AddSubscribers(1, 2)));
  EXPECT_FALSE(IsAskedUntil(agent, AddSubscribers(2, 3)));  // whatever came after the first
  // It has been started anew and has forgotten: what it answered stays answered.
  agent.Send(Report(agent, 0, false));
  AwaitRecorded(1, false);
}

TEST_F(AgentInspection, AnswersToWhatWasNotAskedCountForNothing) {
  TestAgent agent(Dial("agent/mx1"));
  agent.Hello(v1::RELAY, 0);
  agent.Follow(kFleetRevision);
  agent.Send(Report(agent, 1000, true));
  AwaitRecorded(0, true);
}

TEST_F(AgentInspection, HasLimits) {
  const auto refused = [&](const std::function<void(v1::Inspection&)>& spoil) {
    TestAgent agent(Dial("agent/mx1"));
    agent.Hello(v1::RELAY, 0);
    agent.Follow(kFleetRevision);
    v1::SyncRequest request = Report(agent, 0, true);
    spoil(*request.mutable_progress()->mutable_inspection());
    agent.Send(request);
    return agent.End().error_code() == StatusCode::INVALID_ARGUMENT;
  };
  EXPECT_TRUE(refused([](v1::Inspection& inspection) {
    for (int i = 0; i < kMaxDrifts; ++i) inspection.add_drifts()->set_key("k");
  }));
  EXPECT_TRUE(refused([](v1::Inspection& inspection) {
    inspection.mutable_drifts(0)->set_key(std::string(kMaxKeyOctets + 1, 'k'));
  }));
  EXPECT_TRUE(
      refused([](v1::Inspection& inspection) { inspection.mutable_end_time()->set_seconds(INT64_MAX); }));
}

}  // namespace
}  // namespace prov::api
