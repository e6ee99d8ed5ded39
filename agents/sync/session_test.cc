#include "agents/sync/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agents/sync/backoff.h"
#include "agents/sync/sync_fixture.h"

namespace prov::sync {
namespace {

using state::BatchOf;
using state::MailboxRecord;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(Sync, HelloTellsWhereTheCopyStands) {
  Take(Message(BatchOf(7, {MailboxRecord(1, 7)}), 1));
  const v1::Hello hello = session_->Hello()->hello();
  EXPECT_EQ(hello.role(), v1::STORE);
  EXPECT_EQ(hello.cursor_revision(), 7u);
  EXPECT_EQ(hello.applied_revision(), 0u);
  EXPECT_EQ(hello.endpoints().at("lmtp"), "store1:24");
}

TEST_F(Sync, ReceivedIsToldWhenDurableAndAppliedWhenDone) {
  Take(Message(BatchOf(7, {MailboxRecord(1, 7)}), 3));
  v1::Progress progress = Report();
  EXPECT_EQ(progress.nonce(), 3u);
  EXPECT_EQ(progress.received_revision(), 7u);
  EXPECT_EQ(progress.applied_revision(), 0u);
  EXPECT_FALSE(session_->Report()->has_value());  // nothing new to say
  EXPECT_TRUE(applier_->Step().value());
  progress = Report();
  EXPECT_EQ(progress.applied_revision(), 7u);
  EXPECT_EQ(driver_.applied, std::vector<std::string>{"subscribers/1"});
  EXPECT_FALSE(applier_->Step().value());
}

// A full disk under /etc stops all accounts at once: that is to be seen at provd, not on the host alone.
TEST_F(Sync, WhatAWholeSliceFailsOfIsToldForEachOfItsItems) {
  Take(Message(BatchOf(7, {MailboxRecord(1, 7), MailboxRecord(2, 7)}), 3));
  driver_.flush = absl::ResourceExhaustedError("no room");
  EXPECT_TRUE(applier_->Step().value());
  const v1::Progress progress = Report();
  EXPECT_EQ(progress.failing_items(), 2u);
  EXPECT_NE(progress.failing(0).error().find("no room"), std::string::npos);
  driver_.flush = absl::OkStatus();
  clock_.now += std::chrono::minutes(10);
  EXPECT_TRUE(applier_->Step().value());
  EXPECT_EQ(Report().failing_items(), 0u);
}

TEST_F(Sync, SnapshotMovesTheCursorAtItsEndOnly) {
  Take(Begin(20));
  Take(Message(BatchOf(0, {MailboxRecord(1, 3), MailboxRecord(2, 19)}), 1));
  EXPECT_EQ(Report().received_revision(), 0u);
  Take(End(20, 2));
  const v1::Progress progress = Report();
  EXPECT_EQ(progress.nonce(), 2u);
  EXPECT_EQ(progress.received_revision(), 20u);
  // Its end without its beginning is nonsense.
  EXPECT_FALSE(session_->Take(End(21, 3)).ok());
}

TEST_F(Sync, ABatchAfterABrokenOffSnapshotIsADelta) {
  Take(Message(BatchOf(5, {MailboxRecord(1, 5), MailboxRecord(2, 5)}), 1));
  Take(Begin(9));
  Take(Message(BatchOf(0, {MailboxRecord(1, 5)}), 2));
  ASSERT_TRUE(session_->Hello().ok());  // the stream broke
  Take(Message(BatchOf(6, {MailboxRecord(3, 6)}), 1));
  EXPECT_EQ(Report().received_revision(), 6u);
  EXPECT_TRUE(reader_->FindMailboxByLogin("user2@example.net").ok());
}

TEST_F(Sync, FailingItemsAreToldRetriedWithBackoffAndStopNobody) {
  driver_.failures["subscribers/2"] = absl::UnavailableError("disk away");
  Take(Message(BatchOf(4, {MailboxRecord(1, 4), MailboxRecord(2, 4), MailboxRecord(3, 4)}), 1));
  EXPECT_TRUE(applier_->Step().value());
  EXPECT_EQ(driver_.applied.size(), 3u);
  v1::Progress progress = Report();
  EXPECT_EQ(progress.applied_revision(), 4u);
  EXPECT_EQ(progress.failing_items(), 1u);
  EXPECT_EQ(progress.failing(0).key(), "subscribers/2");
  EXPECT_EQ(progress.failing(0).error(), "recording: disk away");
  EXPECT_LE(progress.failing(0).retry_in().seconds(), 1);

  EXPECT_FALSE(applier_->Step().value());  // not yet
  clock_.now += seconds(1);
  EXPECT_TRUE(applier_->Step().value());
  EXPECT_EQ(driver_.applied.size(), 4u);
  clock_.now += milliseconds(900);
  EXPECT_FALSE(applier_->Step().value());  // it waits longer now
  driver_.failures.clear();
  clock_.now += milliseconds(1100);
  EXPECT_TRUE(applier_->Step().value());
  EXPECT_EQ(Report().failing_items(), 0u);
}

TEST_F(Sync, ARetryThatWasPlannedBeforeTheClockWasSetBackIsDoneSoon) {
  driver_.failures["subscribers/1"] = absl::UnavailableError("disk away");
  Take(Message(BatchOf(4, {MailboxRecord(1, 4)}), 1));
  EXPECT_TRUE(applier_->Step().value());
  driver_.failures.clear();
  clock_.now -= std::chrono::hours(24);
  EXPECT_TRUE(applier_->Step().value());
  EXPECT_EQ(Report().failing_items(), 0u);
}

TEST_F(Sync, ACopyThatIsMadeAnewIsToldUntilItIsWhole) {
  const std::string notice = "the host's copy was broken";
  session_ = std::make_unique<Session>(
      SessionOptions{
          .role = v1::STORE, .agent_version = "", .endpoints = {}, .allowed_removals = {}, .notice = notice},
      *state_, clock_);
  ASSERT_TRUE(session_->Hello().ok());
  v1::Progress progress = Report();
  ASSERT_EQ(progress.failing_items(), 1u);
  EXPECT_EQ(progress.failing(0).key(), kNoticeItem);
  EXPECT_EQ(progress.failing(0).error(), notice);
  Take(Begin(7));
  Take(Message(BatchOf(0, {MailboxRecord(1, 4)}), 1));
  Take(End(7, 2));
  EXPECT_EQ(Report().failing_items(), 0u);
}

TEST_F(Sync, WhatIsNoRecordsFaultIsToldHoldsNobodyUpAndIsTriedAgainInTime) {
  driver_.unfinished = {
      .file = "/etc/web.conf", .error = "refused", .retry_at = clock_.Monotonic() + seconds(5)};
  Take(Message(BatchOf(4, {MailboxRecord(1, 4)}), 1));
  EXPECT_TRUE(applier_->Step().value());
  session_->SetUnfinished(applier_->Unfinished());
  const v1::Progress progress = Report();
  EXPECT_EQ(progress.applied_revision(), 4u);
  EXPECT_EQ(progress.failing_items(), 1u);
  EXPECT_EQ(progress.failing(0).key(), "/etc/web.conf");
  EXPECT_EQ(progress.failing(0).error(), "refused");
  EXPECT_EQ(progress.failing(0).retry_in().seconds(), 5);
  const int flushed = driver_.flushed;
  EXPECT_FALSE(applier_->Step().value());
  EXPECT_EQ(driver_.flushed, flushed) << "it is not time";
  clock_.now += seconds(5);
  EXPECT_FALSE(applier_->Step().value());
  EXPECT_EQ(driver_.flushed, flushed + 1);
  driver_.unfinished->error.clear();  // it only waits for its time
  session_->SetUnfinished(applier_->Unfinished());
  EXPECT_EQ(Report().failing_items(), 0u);
}

TEST_F(Sync, RejectedRecordsAreToldWithTheOthersApplied) {
  v1::Record hostile = MailboxRecord(2, 4);
  hostile.mutable_mailbox()->set_mailbox_id("../../etc");
  Take(Message(BatchOf(4, {MailboxRecord(1, 4), hostile, MailboxRecord(3, 4)}), 1));
  EXPECT_TRUE(applier_->Step().value());
  EXPECT_EQ(driver_.applied.size(), 2u);
  const v1::Progress progress = Report();
  EXPECT_EQ(progress.applied_revision(), 4u);
  EXPECT_EQ(progress.failing_items(), 1u);
  EXPECT_EQ(progress.failing(0).key(), "subscribers/2");
  EXPECT_EQ(progress.failing(0).revision(), 4u);
}

TEST_F(Sync, TooManyRemovalsWaitForAnOperatorsWord) {
  std::vector<v1::Record> records;
  std::vector<std::string> removed;
  for (int id = 1; id <= 100; ++id) records.push_back(MailboxRecord(id, 1));
  for (int id = 1; id <= 50; ++id) removed.push_back(fmt::format("subscribers/{}", id));
  Take(Message(BatchOf(1, records), 1));
  ASSERT_TRUE(applier_->Step().ok());
  Report();
  const v1::SyncResponse message = Message(BatchOf(2, {}, removed), 2);
  EXPECT_EQ(ReasonOf(session_->Take(message)), state::kTooManyRemovals);
  v1::Progress progress = Report();
  EXPECT_EQ(progress.nonce(), 1u);
  EXPECT_EQ(progress.received_revision(), 1u);
  EXPECT_EQ(progress.failing_items(), 1u);
  EXPECT_EQ(progress.failing(0).key(), kHeldItem);
  EXPECT_FALSE(applier_->Step().value());
  allowed_ = 49;
  EXPECT_EQ(ReasonOf(session_->Take(message)), state::kTooManyRemovals);
  allowed_ = 50;
  Take(message);
  progress = Report();
  EXPECT_EQ(progress.received_revision(), 2u);
  EXPECT_EQ(progress.failing_items(), 0u);
  EXPECT_TRUE(applier_->Step().value());
}

TEST_F(Sync, RemovalsInSmallStepsAreAddedUpUntilTheirTimeIsOver) {
  constexpr int kRecords = 4000;
  std::vector<v1::Record> all;
  for (int id = 1; id <= kRecords; ++id) all.push_back(MailboxRecord(id, 1));
  ASSERT_TRUE(session_->Hello().ok());
  ASSERT_TRUE(session_->Take(Message(BatchOf(1, all), 1)).ok());
  int next = 1;
  const auto remove = [&](int count, uint64_t revision) {
    std::vector<std::string> keys;
    for (int i = 0; i < count; ++i) keys.push_back(MailboxRecord(next + i, 1).key());
    const absl::Status status = session_->Take(Message(BatchOf(revision, {}, keys), revision));
    if (status.ok()) next += count;
    return status;
  };
  // Each is less than a tenth; together they may come to a thousand.
  for (uint64_t revision = 2; revision <= 5; ++revision) ASSERT_TRUE(remove(250, revision).ok());
  EXPECT_EQ(ReasonOf(remove(250, 6)), state::kTooManyRemovals);
  const auto report = session_->Report();
  ASSERT_TRUE(report.ok() && report->has_value());
  EXPECT_EQ((*report)->progress().failing(0).key(), kHeldItem);
  allowed_ = 1250;
  EXPECT_TRUE(remove(250, 6).ok());
  allowed_ = 0;
  EXPECT_EQ(ReasonOf(remove(250, 7)), state::kTooManyRemovals);
  clock_.now += std::chrono::minutes(11);
  EXPECT_TRUE(remove(250, 7).ok());
}

TEST_F(Sync, HeartbeatsConfirmTheHead) {
  Take(Message(BatchOf(4, {}), 1));
  EXPECT_TRUE(reader_->IsCurrent(v1::STORE, clock_.now));
  v1::SyncResponse message;
  message.mutable_heartbeat()->set_head_revision(5);
  message.mutable_heartbeat()->mutable_interval()->set_seconds(3);
  Take(message);
  EXPECT_FALSE(reader_->IsCurrent(v1::STORE, clock_.now));
  EXPECT_EQ(session_->heartbeat_interval(), seconds(3));
  EXPECT_TRUE(session_->Take(v1::SyncResponse()).ok());  // of a newer provd
}

TEST(Backoff, DoublesIsCappedAndSpread) {
  const Backoff backoff{.first = milliseconds(100), .longest = milliseconds(5000)};
  EXPECT_EQ(backoff.Delay(1, 0), milliseconds(100));
  EXPECT_EQ(backoff.Delay(1, 49), milliseconds(51));
  EXPECT_EQ(backoff.Delay(3, 0), milliseconds(400));
  EXPECT_EQ(backoff.Delay(7, 0), milliseconds(5000));
  EXPECT_EQ(backoff.Delay(uint64_t{1} << 60, 0), milliseconds(5000));
  for (uint64_t random = 0; random < 10000; random += 7) {
    EXPECT_GT(backoff.Delay(9, random), milliseconds(2499));
    EXPECT_LE(backoff.Delay(9, random), milliseconds(5000));
  }
}

}  // namespace
}  // namespace prov::sync
