#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pqxx/pqxx>
#include <thread>

#include "server/api/stream_fixture.h"

namespace prov::api {
namespace {

using grpc::StatusCode;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

const v1::FollowerProgress& Find(const v1::RevisionProgress& progress, const std::string& name) {
  for (const auto& follower : progress.followers()) {
    if (follower.name() == name) return follower;
  }
  ADD_FAILURE() << name << " is not among the followers";
  return v1::FollowerProgress::default_instance();
}

class Operations : public StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    stub_ = v1::Operations::NewStub(Dial("operator/admin"));
    context_.set_deadline(Soon());
  }

  std::unique_ptr<grpc::ClientReader<v1::RevisionProgress>> Wait(uint64_t revision) {
    v1::WaitForRevisionRequest request;
    request.set_revision(revision);
    return stub_->WaitForRevision(&context_, request);
  }

  std::unique_ptr<grpc::ClientReader<v1::Change>> Watch(uint64_t after) {
    v1::WatchChangesRequest request;
    request.set_after_revision(after);
    return stub_->WatchChanges(&context_, request);
  }

  void DirectoryAt(uint64_t revision) { server_->convergence.ReportDirectory(true, revision, 0, ""); }

  std::unique_ptr<v1::Operations::Stub> stub_;
  grpc::ClientContext context_;
};

TEST_F(Operations, WaitStreamsEachFollowersProgressUntilAllHaveApplied) {
  const uint64_t revision = AddSubscribers(1, 2);
  TestAgent relay(Dial("agent/mx1")), store(Dial("agent/store1"));
  relay.Hello(v1::RELAY, 0);
  store.Hello(v1::STORE, 0);
  const auto wait = Wait(revision);
  v1::RevisionProgress progress;
  ASSERT_TRUE(wait->Read(&progress));
  EXPECT_EQ(progress.revision(), revision);
  EXPECT_FALSE(progress.converged());
  EXPECT_THAT(progress.followers(), SizeIs(3));
  EXPECT_EQ(Find(progress, "directory").state(), v1::FollowerProgress::ABSENT);

  const auto until = [&](const std::string& name) {
    while (Find(progress, name).state() != v1::FollowerProgress::CURRENT) ASSERT_TRUE(wait->Read(&progress));
    EXPECT_GT(Find(progress, name).took().nanos() + Find(progress, name).took().seconds(), 0);
  };
  relay.Follow(revision);
  until("hosts/mx1");
  EXPECT_FALSE(progress.converged());
  EXPECT_EQ(Find(progress, "hosts/mx1").role(), v1::RELAY);
  EXPECT_GE(Find(progress, "hosts/mx1").applied_revision(), revision);
  DirectoryAt(revision);
  until("directory");
  EXPECT_FALSE(progress.converged());
  store.Follow(revision);
  until("hosts/store1");
  EXPECT_TRUE(progress.converged());
  EXPECT_FALSE(wait->Read(&progress));
  EXPECT_TRUE(wait->Finish().ok());
}

TEST_F(Operations, WaitForWhatAllHaveAppliedEndsAtOnce) {
  const uint64_t revision = AddSubscribers(1, 2);
  TestAgent relay(Dial("agent/mx1")), store(Dial("agent/store1"));
  relay.Hello(v1::RELAY, 0);
  store.Hello(v1::STORE, 0);
  relay.Follow(revision);
  store.Follow(revision);
  DirectoryAt(revision);
  Await("all have applied", [&] {
    grpc::ClientContext context;
    v1::Status status;
    return stub_->GetStatus(&context, {}, &status).ok() && status.healthy();
  });
  const auto wait = Wait(revision);
  v1::RevisionProgress progress;
  ASSERT_TRUE(wait->Read(&progress));
  EXPECT_TRUE(progress.converged());
  EXPECT_FALSE(wait->Read(&progress));
  EXPECT_TRUE(wait->Finish().ok());
}

TEST_F(Operations, AbsentHostHoldsTheWaitUpByNameUntilItIsEvicted) {
  const uint64_t revision = AddSubscribers(1, 2);
  DirectoryAt(revision);
  TestAgent relay(Dial("agent/mx1"));
  relay.Hello(v1::RELAY, 0);
  relay.Follow(revision);
  const auto wait = Wait(revision);
  v1::RevisionProgress progress;
  ASSERT_TRUE(wait->Read(&progress));
  EXPECT_EQ(Find(progress, "hosts/store1").state(), v1::FollowerProgress::ABSENT);
  EXPECT_THAT(Find(progress, "hosts/store1").cause(), HasSubstr("not connected"));
  SetHostState("store1", model::HostState::kEvicted);
  while (wait->Read(&progress)) {
  }
  EXPECT_TRUE(progress.converged());
  EXPECT_TRUE(wait->Finish().ok());
}

TEST_F(Operations, HostThatFollowsAnotherProvdCounts) {
  const uint64_t revision = AddSubscribers(1, 2);
  DirectoryAt(revision);
  TestAgent relay(Dial("agent/mx1"));
  relay.Hello(v1::RELAY, 0);
  relay.Follow(revision);
  const auto wait = Wait(revision);
  v1::RevisionProgress progress;
  ASSERT_TRUE(wait->Read(&progress));
  store::HostProgress told{.host = "store1", .role = model::Role::kStore, .connected = true};
  ASSERT_TRUE(server_->progress.Record(told).ok());
  while (Find(progress, "hosts/store1").state() != v1::FollowerProgress::BEHIND)
    ASSERT_TRUE(wait->Read(&progress));
  told.received_revision = told.applied_revision = revision;
  ASSERT_TRUE(server_->progress.Record(told).ok());
  while (wait->Read(&progress)) {
  }
  EXPECT_TRUE(progress.converged());
  EXPECT_TRUE(wait->Finish().ok());
}

// Its provd was killed, and can write nothing down any more.
TEST_F(Operations, HostThatIsNotHeardOfIsAbsentWhateverWasWrittenDown) {
  const uint64_t revision = AddSubscribers(1, 2);
  ASSERT_TRUE(server_->progress
                  .Record({.host = "store1",
                           .role = model::Role::kStore,
                           .connected = true,
                           .received_revision = revision})
                  .ok());
  Execute("UPDATE prov.host_progress SET last_seen = now() - interval '1 hour'");
  grpc::ClientContext context;
  v1::Status status;
  ASSERT_TRUE(stub_->GetStatus(&context, {}, &status).ok());
  for (const v1::FollowerProgress& follower : status.followers()) {
    if (follower.name() != "hosts/store1") continue;
    EXPECT_EQ(follower.state(), v1::FollowerProgress::ABSENT);
  }
}

TEST_F(Operations, FollowerThatDoesNotMoveBecomesStuckByTheClockAlone) {
  const uint64_t revision = AddSubscribers(1, 2);
  TestAgent relay(Dial("agent/mx1"));
  relay.Hello(v1::RELAY, 0);
  const auto wait = Wait(revision);
  v1::RevisionProgress progress;
  do {
    ASSERT_TRUE(wait->Read(&progress));
  } while (Find(progress, "hosts/mx1").state() != v1::FollowerProgress::STUCK);
  EXPECT_THAT(Find(progress, "hosts/mx1").cause(), HasSubstr("no progress"));
}

TEST_F(Operations, WaitForWhatIsNotWrittenIsRefused) {
  const auto wait = Wait(1000);
  v1::RevisionProgress progress;
  EXPECT_FALSE(wait->Read(&progress));
  const grpc::Status status = wait->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("revision"));
}

TEST_F(Operations, CancelledWaitsLeaveNothingBehind) {
  const uint64_t revision = AddSubscribers(1, 2);
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    v1::WaitForRevisionRequest request;
    request.set_revision(revision);
    const auto wait = stub_->WaitForRevision(&context, request);
    v1::RevisionProgress progress;
    EXPECT_TRUE(i % 2 != 0 || wait->Read(&progress));
    context.TryCancel();
    EXPECT_EQ(wait->Finish().error_code(), StatusCode::CANCELLED);
  }
  Await("no stream is left", [&] { return server_->operations.open_streams() == 0; });
}

TEST_F(Operations, OneCallerTakesNotAllStreams) {
  constexpr size_t kMost = 250;
  const auto refusal = [this](const std::string& caller) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
    const auto stub = v1::Operations::NewStub(Dial(caller));
    return stub->WatchChanges(&context, {})->Finish();
  };
  grpc::ClientContext contexts[kMost];
  std::vector<std::unique_ptr<grpc::ClientReader<v1::Change>>> streams;
  v1::Change change;
  for (grpc::ClientContext& context : contexts) {
    streams.push_back(stub_->WatchChanges(&context, {}));
    ASSERT_TRUE(streams.back()->Read(&change));
  }
  EXPECT_EQ(server_->operations.open_streams(), kMost);
  const grpc::Status refused = refusal("operator/admin");
  EXPECT_EQ(refused.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("operator/admin has 250 streams already"));
  EXPECT_EQ(refusal("operator/other").error_code(), StatusCode::DEADLINE_EXCEEDED);
  for (grpc::ClientContext& context : contexts) context.TryCancel();
  streams.clear();
  Await("the caller may have streams again",
        [&] { return refusal("operator/admin").error_code() == StatusCode::DEADLINE_EXCEEDED; });
}

TEST_F(Operations, DeadlineEndsAWait) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  v1::WaitForRevisionRequest request;
  request.set_revision(1);
  const auto wait = stub_->WaitForRevision(&context, request);
  v1::RevisionProgress progress;
  while (wait->Read(&progress)) {
  }
  EXPECT_EQ(wait->Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
  Await("no stream is left", [&] { return server_->operations.open_streams() == 0; });
}

TEST_F(Operations, WatchTellsEachChangeInOrderThenGoesOn) {
  AddSubscribers(1, 700);  // more than a page, in one revision
  const uint64_t last = AddSubscribers(700, 702);
  const auto watch = Watch(5);
  v1::Change change;
  uint64_t before = 5;
  for (int i = 0; i < 701; ++i) {
    ASSERT_TRUE(watch->Read(&change));
    EXPECT_GE(change.revision(), before);
    before = change.revision();
    EXPECT_THAT(change.resource(), HasSubstr("subscribers/"));
    EXPECT_GT(change.time().seconds(), 0);
  }
  EXPECT_EQ(change.revision(), last);
  AddPool("second", model::Role::kStore);
  ASSERT_TRUE(watch->Read(&change));
  EXPECT_EQ(change.resource(), "pools/second");
  EXPECT_EQ(change.revision(), last + 1);
}

TEST_F(Operations, WatchFromWhatTheLogNoLongerHasOrNotYetIsOutOfRange) {
  {
    const auto lease = server_->pool.Acquire();
    ASSERT_TRUE(lease.ok());
    pqxx::work work(**lease);
    work.exec("UPDATE prov.revision SET compacted = 3");
    work.commit();
  }
  v1::Change change;
  const auto compacted = Watch(2);
  EXPECT_FALSE(compacted->Read(&change));
  EXPECT_EQ(compacted->Finish().error_code(), StatusCode::OUT_OF_RANGE);
  grpc::ClientContext context;
  v1::WatchChangesRequest request;
  request.set_after_revision(1000);
  const auto ahead = stub_->WatchChanges(&context, request);
  EXPECT_FALSE(ahead->Read(&change));
  EXPECT_EQ(ahead->Finish().error_code(), StatusCode::OUT_OF_RANGE);
}

TEST_F(Operations, StatusNamesWhoIsAbsent) {
  DirectoryAt(5);
  v1::Status status;
  ASSERT_TRUE(stub_->GetStatus(&context_, {}, &status).ok());
  EXPECT_EQ(status.head_revision(), 5);
  EXPECT_EQ(status.version(), "test");
  EXPECT_THAT(status.followers(), SizeIs(3));
  EXPECT_FALSE(status.healthy());

  TestAgent relay(Dial("agent/mx1")), store(Dial("agent/store1"));
  relay.Hello(v1::RELAY, 0);
  store.Hello(v1::STORE, 0);
  relay.Follow(5);
  store.Follow(5);
  Await("all is well", [&] {
    grpc::ClientContext context;
    return stub_->GetStatus(&context, {}, &status).ok() && status.healthy();
  });
}

TEST_F(Operations, CallerIsToldWhoItIsAndWhatItMayDo) {
  const auto stub = v1::Operations::NewStub(Dial("helpdesk/mary"));
  v1::WhoAmIResponse response;
  ASSERT_TRUE(stub->WhoAmI(&context_, {}, &response).ok());
  EXPECT_EQ(response.role(), "helpdesk");
  EXPECT_EQ(response.caller(), "helpdesk/mary");
  EXPECT_THAT(response.methods(), Contains("/prov.v1.Operations/WhoAmI"));
  EXPECT_THAT(response.methods(), Not(Contains("/prov.v1.Operations/WatchChanges")));
}

TEST_F(Operations, MethodsOutsideTheCallersRoleAreRefusedAndTold) {
  const auto stub = v1::Operations::NewStub(Dial("agent/mx1"));
  grpc::ClientContext status, wait;
  v1::Status response;
  EXPECT_EQ(stub->GetStatus(&status, {}, &response).error_code(), StatusCode::PERMISSION_DENIED);
  const auto stream = stub->WaitForRevision(&wait, {});
  v1::RevisionProgress progress;
  EXPECT_FALSE(stream->Read(&progress));
  EXPECT_EQ(stream->Finish().error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(server_->refused, 2);
}

TEST_F(Operations, ExplainSaysThatItIsNotThereYet) {
  v1::Explanation response;
  EXPECT_EQ(stub_->Explain(&context_, {}, &response).error_code(), StatusCode::UNIMPLEMENTED);
}

TEST_F(Operations, ShutDownEndsAllStreams) {
  const auto wait = Wait(AddSubscribers(1, 2));
  grpc::ClientContext context;
  const auto watch = stub_->WatchChanges(&context, {});
  Await("both are there", [&] { return server_->operations.open_streams() == 2; });
  server_->operations.ShutDown();
  EXPECT_EQ(server_->operations.open_streams(), 0);
  v1::RevisionProgress progress;
  while (wait->Read(&progress)) {
  }
  EXPECT_EQ(wait->Finish().error_code(), StatusCode::UNAVAILABLE);
  v1::Change change;
  while (watch->Read(&change)) {
  }
  EXPECT_EQ(watch->Finish().error_code(), StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace prov::api
