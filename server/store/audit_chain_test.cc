#include "server/store/audit_chain.h"

#include <gtest/gtest.h>

namespace prov::store {
namespace {

using Kind = AuditBreak::Kind;

std::vector<AuditRecord> Records(size_t count) {
  std::vector<AuditRecord> records(count);
  for (size_t i = 0; i < count; ++i) {
    records[i].time = model::Time(std::chrono::microseconds(1'700'000'000'000'000 + static_cast<int64_t>(i)));
    records[i].caller = "helpdesk/mary";
    records[i].resource = "subscribers/" + std::to_string(i);
  }
  return records;
}

struct Chained {
  AuditHead head;
  std::vector<AuditRecord> records;
};

Chained ChainOf(size_t count) {
  Chained chained;
  chained.records = Records(count);
  Chain(chained.head, chained.records);
  return chained;
}

std::optional<AuditBreak> Walk(const Chained& chained, std::optional<AuditHead> noted = {},
                               const AuditHead& after = {}) {
  AuditWalk walk(after, noted);
  for (const AuditRecord& record : chained.records) {
    if (record.id <= after.id) continue;
    if (auto broken = walk.Check(record)) return broken;
  }
  return walk.Finish(chained.head, chained.records.empty() ? 0 : chained.records.back().id);
}

TEST(AuditChain, UntouchedIsWholeAlsoWhenItGrewInParts) {
  EXPECT_FALSE(Walk(ChainOf(0)));
  const Chained whole = ChainOf(5);
  EXPECT_FALSE(Walk(whole));
  AuditHead head;
  std::vector<AuditRecord> one = Records(5), rest(one.begin() + 2, one.end());
  one.resize(2);
  Chain(head, one);
  Chain(head, rest);
  EXPECT_EQ(head, whole.head);
  EXPECT_FALSE(Walk(whole, AuditHead{2, whole.records[1].hash}, AuditHead{1, whole.records[0].hash}));
}

TEST(AuditChain, EveryFieldCounts) {
  const std::vector<void (*)(AuditRecord&)> changes = {
      [](AuditRecord& r) { r.time += std::chrono::microseconds(1); },
      [](AuditRecord& r) { r.caller += "x"; },
      [](AuditRecord& r) { r.peer = "ipv4:192.0.2.1:1"; },
      [](AuditRecord& r) { r.method = "/m"; },
      [](AuditRecord& r) { r.resource = ""; },
      [](AuditRecord& r) { r.request_id = "1"; },
      [](AuditRecord& r) { r.revision = 7; },
      [](AuditRecord& r) { r.code = 7; },
      [](AuditRecord& r) { r.before_json = "{}"; },
      [](AuditRecord& r) { r.after_json = "{}"; },
      // Moved from one field to the next: the concatenation is the same.
      [](AuditRecord& r) {
        r.caller = "helpdesk/mar";
        r.peer = "y";
      },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    Chained chained = ChainOf(3);
    changes[i](chained.records[1]);
    const auto broken = Walk(chained);
    ASSERT_TRUE(broken) << i;
    EXPECT_EQ(broken->id, 2u) << i;
    EXPECT_EQ(broken->kind, Kind::kChanged) << i;
  }
}

TEST(AuditChain, RemovedRecordsAreNamed) {
  Chained chained = ChainOf(5);
  chained.records.erase(chained.records.begin() + 1, chained.records.begin() + 3);
  const auto broken = Walk(chained);
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->kind, Kind::kMissing);
  EXPECT_EQ(broken->id, 2u);
  EXPECT_EQ(broken->reason, "records 2 to 3 are missing");
}

TEST(AuditChain, CutTailIsSeenByTheHead) {
  Chained chained = ChainOf(5);
  chained.records.pop_back();
  const auto broken = Walk(chained);
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->kind, Kind::kTruncated);
  EXPECT_EQ(broken->id, 5u);
}

TEST(AuditChain, TailCutTogetherWithTheHeadIsSeenByANotedHeadOnly) {
  const Chained before = ChainOf(5);
  const Chained cut = ChainOf(4);
  EXPECT_FALSE(Walk(cut));
  const auto broken = Walk(cut, before.head);
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->kind, Kind::kTruncated);
  EXPECT_EQ(broken->id, 5u);
}

TEST(AuditChain, ChainMadeAnewIsSeenByANotedHeadOnly) {
  const AuditHead noted = ChainOf(3).head;
  Chained anew;
  anew.records = Records(5);
  anew.records[1].caller = "helpdesk/john";
  Chain(anew.head, anew.records);
  EXPECT_FALSE(Walk(anew));
  const auto broken = Walk(anew, noted);
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->kind, Kind::kRewritten);
  EXPECT_EQ(broken->id, 3u);
}

TEST(AuditChain, RecordsAfterTheHeadAreNotBelieved) {
  Chained chained = ChainOf(5);
  chained.head = {4, chained.records[3].hash};
  const auto broken = Walk(chained);
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->id, 5u);
}

TEST(AuditChain, WhatPostgresqlDoesNotTakeIsReplacedBeforeItIsHashed) {
  Chained chained;
  chained.records = Records(1);
  chained.records[0].peer = "\xff" + std::string(1, '\0') + "x";
  chained.records[0].resource = "caf\xc3\xa9";
  Chain(chained.head, chained.records);
  EXPECT_EQ(chained.records[0].peer, "??x");
  EXPECT_EQ(chained.records[0].resource, "caf\xc3\xa9");
  EXPECT_FALSE(Walk(chained));
}

}  // namespace
}  // namespace prov::store
