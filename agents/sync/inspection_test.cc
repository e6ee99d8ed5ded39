#include "agents/sync/inspection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agents/sync/sync_fixture.h"

namespace prov::sync {
namespace {

using state::BatchOf;
using state::MailboxRecord;

class Inspecting : public Sync {
 protected:
  void SetUp() override {
    Sync::SetUp();
    inspection_ =
        std::make_unique<Inspection>(v1::STORE, std::vector<drivers::Driver*>{&driver_}, *state_, clock_);
    std::vector<v1::Record> records;
    for (int id = 1; id <= 1200; ++id) records.push_back(MailboxRecord(id, 1));
    Take(Message(BatchOf(3, records), 1));
    while (applier_->Step().value()) {
    }
    driver_.applied.clear();
  }

  // A whole one; what it finds is mended, if `repair`, slice by slice.
  v1::Inspection Round(uint64_t number, Repair repair) {
    EXPECT_TRUE(inspection_->Begin(number, repair).ok());
    while (inspection_->running()) {
      const auto due = applier_->NextDue().value();
      EXPECT_TRUE(inspection_->InspectSome().ok());
      EXPECT_EQ(applier_->NextDue().value(), due);  // nothing is mended before it could be told
      flush_ = inspection_->Mend().value() || flush_;
      while (applier_->Step().value()) {
      }
    }
    return inspection_->report();
  }

  std::unique_ptr<Inspection> inspection_;
  bool flush_ = false;
};

TEST_F(Inspecting, FindsNothingWhereNothingDiffers) {
  const v1::Inspection report = Round(4, Repair::kFew);
  EXPECT_EQ(report.number(), 4u);
  EXPECT_TRUE(report.has_end_time());
  EXPECT_EQ(report.inspected_records(), 1200u);
  EXPECT_EQ(report.all_records(), 1200u);
  EXPECT_EQ(report.drifting(), 0u);
  EXPECT_EQ(inspection_->observed_revision(), 3u);
  EXPECT_TRUE(driver_.applied.empty());
}

TEST_F(Inspecting, TellsWhatDiffersAndThenMendsIt) {
  driver_.missing = {"subscribers/1200", "subscribers/7"};
  const v1::Inspection report = Round(1, Repair::kFew);
  ASSERT_EQ(report.drifts_size(), 2);
  EXPECT_EQ(report.drifting(), 2u);
  EXPECT_EQ(report.drifts(0).key(), "subscribers/1200");  // in order of keys
  EXPECT_EQ(report.drifts(0).driver(), "recording");
  EXPECT_EQ(report.drifts(0).difference(), "is missing");
  EXPECT_EQ(inspection_->observed_revision(), 0u);
  EXPECT_EQ(driver_.applied.size(), 2u);
}

TEST_F(Inspecting, LeavesWhatDiffersIfToldSo) {
  driver_.missing = {"subscribers/7"};
  driver_.whole = {{"/etc/passwd.cache", "1 added (mallory)"}};
  EXPECT_EQ(Round(1, Repair::kNone).drifting(), 2u);
  EXPECT_FALSE(flush_);
  EXPECT_EQ(driver_.redone, 0);
  EXPECT_TRUE(driver_.applied.empty());
}

TEST_F(Inspecting, FilesThatAreWrittenWholeAreWrittenAgain) {
  driver_.whole = {{"/etc/passwd.cache", "1 added (mallory)"}};
  const v1::Inspection report = Round(1, Repair::kFew);
  ASSERT_EQ(report.drifts_size(), 1);
  EXPECT_EQ(report.drifts(0).key(), "/etc/passwd.cache");
  EXPECT_TRUE(flush_);
  EXPECT_EQ(driver_.redone, 1);
}

// They are told of as failing, and are tried again in their own time.
TEST_F(Inspecting, WhatIsPendingIsNoDrift) {
  driver_.failures["subscribers/7"] = absl::UnavailableError("disk");
  Take(Message(BatchOf(4, {MailboxRecord(7, 4)}), 2));
  EXPECT_TRUE(applier_->Step().value());
  driver_.missing = {"subscribers/7"};
  EXPECT_EQ(Round(1, Repair::kFew).drifting(), 0u);
}

TEST_F(Inspecting, WhatCannotBeLookedAtIsCountedAndLeft) {
  driver_.unreadable = {"subscribers/7", "subscribers/8"};
  const v1::Inspection report = Round(1, Repair::kFew);
  EXPECT_EQ(report.failed_records(), 2u);
  EXPECT_THAT(report.error(), testing::HasSubstr("not mounted"));
  EXPECT_EQ(report.drifting(), 0u);
  EXPECT_EQ(inspection_->observed_revision(), 0u);
  EXPECT_TRUE(driver_.applied.empty());
}

TEST_F(Inspecting, TellsOfAHundredAndCountsAll) {
  for (int id = 1; id <= 700; ++id) driver_.missing.insert(MailboxRecord(id, 1).key());
  const v1::Inspection report = Round(1, Repair::kAll);
  EXPECT_EQ(report.drifting(), 700u);
  EXPECT_EQ(report.drifts_size(), kMostDriftsTold);
  EXPECT_EQ(driver_.applied.size(), 700u);
}

// A disk that is not mounted looks like a host on which everything is missing.
TEST_F(Inspecting, MuchDriftWaitsForAnOperatorsWord) {
  for (int id = 1; id <= 120; ++id) driver_.missing.insert(MailboxRecord(id, 1).key());
  EXPECT_FALSE(Round(1, Repair::kFew).held());
  EXPECT_EQ(driver_.applied.size(), 120u);  // a tenth of all
  driver_.applied.clear();
  driver_.missing.insert(MailboxRecord(1200, 1).key());
  const v1::Inspection report = Round(1, Repair::kFew);
  EXPECT_TRUE(report.held());
  EXPECT_FALSE(report.repair());
  EXPECT_TRUE(driver_.applied.empty());
  EXPECT_FALSE(Round(2, Repair::kAll).held());
  EXPECT_EQ(driver_.applied.size(), 121u);
}

TEST_F(Inspecting, IsAskedForOnceAndToldOfOnEveryStream) {
  v1::SyncResponse message;
  message.mutable_inspection_request()->set_number(2);
  message.mutable_inspection_request()->set_repair(true);
  Take(message);
  const auto request = session_->TakeInspectionRequest();
  ASSERT_TRUE(request.has_value());
  EXPECT_TRUE(request->repair());
  EXPECT_FALSE(session_->TakeInspectionRequest().has_value());
  session_->SetInspection(Round(request->number(), Repair::kAll));
  EXPECT_EQ(session_->Report().value()->progress().inspection().number(), 2u);
  Take(message);
  EXPECT_FALSE(session_->TakeInspectionRequest().has_value());
  ASSERT_TRUE(session_->Hello().ok());
  EXPECT_EQ(session_->Report().value()->progress().inspection().number(), 2u);
}

}  // namespace
}  // namespace prov::sync
