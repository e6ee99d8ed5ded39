#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/feed/feed.h"
#include "server/feed/feed_fixture.h"

namespace prov::feed {
namespace {

using directory::TestSubscriber;
using model::Role;
using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST_F(FeedTest, NewAgentTakesASnapshotAndThenDeltas) {
  PutMany(1, 4);
  Feed feed(truth_);
  const auto stream = Open(feed, "mx1", Role::kRelay, 0);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.snapshots, 1);
  EXPECT_EQ(copy.revision, truth_.head());
  EXPECT_THAT(copy.Keys(), ElementsAre("domains/example.net", "pools/main", "pools/mx", "pools/second",
                                       "subscribers/1", "subscribers/2", "subscribers/3"));
  PutMany(4, 6);
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.snapshots, 1);
  EXPECT_EQ(copy.revision, truth_.head());
  EXPECT_THAT(copy.records, SizeIs(9));
}

TEST_F(FeedTest, ListAndItsMembersComeAndGoOneByOne) {
  truth_.Put(PoolOf("lists", Role::kList));
  truth_.Put(PoolOf("other-lists", Role::kList));
  truth_.Put(HostIn("list1", {"lists"}));
  truth_.Put(HostIn("list2", {"other-lists"}));
  model::MailingList staff;
  staff.address = "staff@example.net";
  staff.pool = "lists";
  truth_.Put(staff);
  constexpr int kMembers = 1200;  // more than a page
  for (int i = 0; i < kMembers; ++i) {
    truth_.Put(model::Member{"staff@example.net", fmt::format("m{:04}@example.org", i), "lists", {}, 0});
  }
  Feed feed(truth_);
  const auto stream = Open(feed, "list1", Role::kList, 0);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.snapshots, 1);
  EXPECT_TRUE(copy.records.contains("lists/staff@example.net/members/m1199@example.org"));
  EXPECT_EQ(copy.records.at("lists/staff@example.net").list().address(), "staff@example.net");
  EXPECT_THAT(copy.records, SizeIs(kMembers + 3));  // the list, the domain, the relay pool

  // One member's change is one record.
  copy.order.clear();
  truth_.RemoveMember("staff@example.net", "m0000@example.org");
  truth_.Put(model::Member{"staff@example.net", "new@example.org", "lists", {}, 0});
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_THAT(copy.order, UnorderedElementsAre("-lists/staff@example.net/members/m0000@example.org",
                                               "lists/staff@example.net/members/new@example.org"));

  const auto other = Open(feed, "list2", Role::kList, 0);
  Copy others;
  ASSERT_TRUE(Drain(*other, others).ok());
  EXPECT_THAT(others.Keys(), ElementsAre("domains/example.net", "pools/mx"));
  const auto relay = Open(feed, "mx1", Role::kRelay, 0);
  Copy routes;
  ASSERT_TRUE(Drain(*relay, routes).ok());
  EXPECT_THAT(routes.Keys(), ElementsAre("domains/example.net", "lists/staff@example.net", "pools/lists",
                                         "pools/main", "pools/mx", "pools/other-lists", "pools/second"));
  truth_.RemoveMailingList("staff@example.net");
  ASSERT_TRUE(Drain(*relay, routes).ok());
  EXPECT_FALSE(routes.records.contains("lists/staff@example.net"));
}

TEST_F(FeedTest, CompactedLogMeansASnapshot) {
  PutMany(1, 3);
  const uint64_t cursor = truth_.head();
  PutMany(3, 5);
  truth_.Compact();
  Feed feed(truth_);
  const auto stream = Open(feed, "mx1", Role::kRelay, cursor);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.snapshots, 1);
  EXPECT_EQ(copy.revision, truth_.head());
  EXPECT_THAT(copy.records, SizeIs(8));

  // Exactly at the edge the log still serves.
  const auto at_edge = Open(feed, "mx1", Role::kRelay, truth_.head());
  PutMany(5, 6);
  Copy edge;
  ASSERT_TRUE(Drain(*at_edge, edge).ok());
  EXPECT_EQ(edge.snapshots, 0);
  EXPECT_THAT(edge.Keys(), ElementsAre("subscribers/5"));
}

TEST_F(FeedTest, AgentOfAnotherDatabaseTakesASnapshot) {
  PutMany(1, 3);
  Feed feed(truth_);
  const auto stream = Open(feed, "mx1", Role::kRelay, truth_.head() + 1000);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.snapshots, 1);
  EXPECT_EQ(copy.revision, truth_.head());
  EXPECT_EQ(stream->sent_revision(), truth_.head());
}

TEST_F(FeedTest, ChangesDuringASnapshotComeAfterIt) {
  PutMany(1, 10);
  Feed feed(truth_, {.records_per_batch = 2, .rows_per_page = 2});
  const auto stream = Open(feed, "mx1", Role::kRelay, 0);
  Copy copy;
  for (int i = 0; i < 8; ++i) {
    const auto step = stream->Next();
    ASSERT_TRUE(step.ok());
    if (step->message.has_value()) copy.Take(*step->message);
  }
  ASSERT_TRUE(copy.in_snapshot);
  model::Subscriber first = TestSubscriber(1, "u1@example.net");
  first.state = model::State::kClosed;
  truth_.Put(first);
  model::Subscriber last = TestSubscriber(9, "u9@example.net");
  last.addresses.push_back("new@example.net");
  truth_.Put(last);
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.snapshots, 1);
  EXPECT_EQ(copy.revision, truth_.head());
  EXPECT_FALSE(copy.records.contains("subscribers/1"));
  EXPECT_EQ(copy.records["subscribers/9"].mail_route().addresses_size(), 2);
}

TEST_F(FeedTest, BatchesAreBoundedByRecordsAndOctets) {
  PutMany(1, 1200);
  Feed by_records(truth_, {.records_per_batch = 100, .rows_per_page = 150});
  const auto snapshot = Open(by_records, "mx1", Role::kRelay, 0);
  Copy copy;
  ASSERT_TRUE(Drain(*snapshot, copy).ok());
  EXPECT_THAT(copy.records, SizeIs(1203));
  EXPECT_LE(copy.most_records, 100);

  Feed by_octets(truth_, {.octets_per_batch = 4096});
  const auto delta = Open(by_octets, "mx1", Role::kRelay, 6);
  Copy other;
  ASSERT_TRUE(Drain(*delta, other).ok());
  EXPECT_EQ(other.snapshots, 0);
  EXPECT_THAT(other.records, SizeIs(1199));
  EXPECT_LE(other.most_octets, 4096 + 64);
  EXPECT_GT(other.batches, 15);
}

TEST_F(FeedTest, StreamsShareARoundButNeverGoBackInTime) {
  Feed feed(truth_, {.rows_per_page = 1});
  const uint64_t before = truth_.head();
  model::Subscriber alice = TestSubscriber(1, "alice@example.net");
  truth_.Put(alice);
  const auto one = Open(feed, "mx1", Role::kRelay, before);
  Copy first;
  ASSERT_TRUE(Drain(*one, first).ok());  // its round is kept for others
  // A snapshot that stands for `before`, whose pages are newer than that round.
  truth_.SetHead(before);
  const auto two = Open(feed, "mx1", Role::kRelay, 0);
  Copy second;
  auto step = two->Next();
  ASSERT_TRUE(step.ok());
  second.Take(*step->message);
  truth_.SetHead(before + 1);
  alice.state = model::State::kSuspended;
  alice.suspended_mail = model::SuspendedMail::kReject;
  truth_.Put(alice);
  bool was_refused = false;
  for (;;) {
    step = two->Next();
    ASSERT_TRUE(step.ok());
    if (!step->message.has_value() && !step->more) break;
    if (!step->message.has_value()) continue;
    second.Take(*step->message);
    const auto& records = second.in_snapshot ? second.snapshot : second.records;
    const auto record = records.find("subscribers/1");
    if (record == records.end()) continue;
    const bool refused = record->second.mail_route().receive() == v1::REJECT_PERMANENTLY;
    EXPECT_TRUE(refused || !was_refused) << "went back to an older state";
    was_refused = refused;
  }
  EXPECT_TRUE(was_refused);
}

TEST_F(FeedTest, HostThatMayNotFollowIsToldSo) {
  Feed feed(truth_);
  const auto code = [&](const std::string& host, Role role) {
    return feed.Open(host, role, 0).status().code();
  };
  EXPECT_EQ(code("nobody", Role::kRelay), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(code("mx1", Role::kStore), absl::StatusCode::kPermissionDenied);
  model::Host mx1 = HostIn("mx1", {"mx"});
  mx1.state = model::HostState::kEvicted;
  truth_.Put(mx1);
  EXPECT_EQ(code("mx1", Role::kRelay), absl::StatusCode::kPermissionDenied);
}

TEST_F(FeedTest, EvictionEndsAStreamBeforeItIsSentMore) {
  Feed feed(truth_);
  const auto stream = Open(feed, "mx1", Role::kRelay, truth_.head());
  model::Host mx1 = HostIn("mx1", {"mx"});
  mx1.state = model::HostState::kEvicted;
  PutMany(1, 2);
  truth_.Put(mx1);
  Copy copy;
  EXPECT_EQ(Drain(*stream, copy).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(copy.batches, 0);
}

TEST_F(FeedTest, StoreThatMovesToAnotherPoolStartsOver) {
  PutMany(1, 3);
  model::Subscriber elsewhere = TestSubscriber(9, "u9@example.net");
  elsewhere.store_pool = "second";
  truth_.Put(elsewhere);
  Feed feed(truth_);
  const auto stream = Open(feed, "store1", Role::kStore, 0);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_THAT(copy.Keys(), ElementsAre("domains/example.net", "pools/main", "pools/second", "subscribers/1",
                                       "subscribers/2"));
  const uint64_t before = copy.revision;
  truth_.Put(HostIn("store1", {"second"}));
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.snapshots, 2);
  EXPECT_THAT(copy.Keys(), ElementsAre("domains/example.net", "pools/main", "pools/second", "subscribers/9"));

  // The same if it was away when that happened.
  const auto later = Open(feed, "store1", Role::kStore, before);
  Copy other;
  ASSERT_TRUE(Drain(*later, other).ok());
  EXPECT_EQ(other.snapshots, 1);
  EXPECT_THAT(other.Keys(),
              ElementsAre("domains/example.net", "pools/main", "pools/second", "subscribers/9"));
}

TEST_F(FeedTest, DatabaseAwayIsAnErrorAndNotAnEmptyView) {
  Feed feed(truth_);
  const auto stream = Open(feed, "mx1", Role::kRelay, 0);
  truth_.SetAway(true);
  EXPECT_EQ(stream->Next().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(feed.Open("mx1", Role::kRelay, 0).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(FeedTest, StreamGoesOnWhereTheDatabaseLeftIt) {
  PutMany(1, 20);
  Feed feed(truth_, {.changes_per_round = 3, .records_per_batch = 2, .rows_per_page = 3});
  const auto stream = Open(feed, "mx1", Role::kRelay, 0);
  Copy copy;
  for (int i = 0; copy.revision < truth_.head(); ++i) {
    ASSERT_LT(i, 1000);
    if (i == 10) PutMany(20, 29);
    truth_.SetAway(i % 3 != 0);
    const auto step = stream->Next();
    EXPECT_TRUE(step.ok() || absl::IsUnavailable(step.status()));
    if (step.ok() && step->message.has_value()) copy.Take(*step->message);
  }
  EXPECT_EQ(copy.snapshots, 1);
  EXPECT_THAT(copy.records, SizeIs(32));  // and a domain, and three pools
}

TEST_F(FeedTest, RebuildOfAnUntouchedCopyChangesNothing) {
  PutMany(1, 50);
  Feed feed(truth_, {.changes_per_round = 7});
  Copy by_delta, by_snapshot;
  const auto delta = Open(feed, "mx1", Role::kRelay, 1);
  const auto snapshot = Open(feed, "mx1", Role::kRelay, 0);
  ASSERT_TRUE(Drain(*delta, by_delta).ok());
  ASSERT_TRUE(Drain(*snapshot, by_snapshot).ok());
  EXPECT_EQ(by_delta.snapshots, 0);
  ASSERT_EQ(by_delta.Keys(), by_snapshot.Keys());
  for (auto& [key, record] : by_delta.records) {
    record.clear_revision();
    by_snapshot.records[key].clear_revision();
    EXPECT_EQ(record.SerializeAsString(), by_snapshot.records[key].SerializeAsString());
  }
}

}  // namespace
}  // namespace prov::feed
