#include "server/feed/feed.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "server/directory/memory_truth.h"

namespace prov::feed {
namespace {

using directory::MemoryTruth;
using directory::TestSubscriber;
using model::Role;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

model::Pool PoolOf(const std::string& id, Role role) {
  model::Pool pool;
  pool.id = id;
  pool.role = role;
  return pool;
}

model::Host HostIn(const std::string& id, std::vector<std::string> pools) {
  model::Host host;
  host.id = id;
  host.pools = std::move(pools);
  return host;
}

// What a faithful agent makes of the stream.
struct Copy {
  std::map<std::string, v1::Record> records;
  std::map<std::string, v1::Record> snapshot;
  bool in_snapshot = false;
  uint64_t revision = 0;
  uint64_t head = 0;
  int snapshots = 0;
  int batches = 0;
  size_t most_records = 0;
  size_t most_octets = 0;
  std::vector<std::string> order;  // of what came since the last clear; "-key" for removals

  void Take(const v1::SyncResponse& message) {
    if (message.has_snapshot_begin()) {
      in_snapshot = true;
      snapshot.clear();
      ++snapshots;
    } else if (message.has_snapshot_end()) {
      ASSERT_TRUE(in_snapshot);
      in_snapshot = false;
      records.swap(snapshot);
      revision = message.snapshot_end().revision();
    } else if (message.has_batch()) {
      TakeBatch(message.batch());
    }
  }

  void TakeBatch(const v1::Batch& batch) {
    ++batches;
    most_records = std::max<size_t>(most_records, batch.records_size() + batch.removed_keys_size());
    most_octets = std::max(most_octets, batch.ByteSizeLong());
    head = batch.head_revision();
    auto& into = in_snapshot ? snapshot : records;
    for (const v1::Record& record : batch.records()) {
      into[record.key()] = record;
      order.push_back(record.key());
    }
    for (const std::string& key : batch.removed_keys()) {
      ASSERT_FALSE(in_snapshot) << "absence is not deletion";
      into.erase(key);
      order.push_back("-" + key);
    }
    EXPECT_TRUE(!in_snapshot || batch.to_revision() == 0);
    if (batch.to_revision() != 0) {
      EXPECT_GE(batch.to_revision(), revision);
      revision = batch.to_revision();
    }
  }

  std::vector<std::string> Keys() const {
    std::vector<std::string> keys;
    for (const auto& [key, record] : records) keys.push_back(key);
    return keys;
  }
};

class FeedTest : public ::testing::Test {
 protected:
  FeedTest() {
    truth_.Put(PoolOf("main", Role::kStore));
    truth_.Put(PoolOf("second", Role::kStore));
    truth_.Put(PoolOf("mx", Role::kRelay));
    truth_.Put(HostIn("store1", {"main"}));
    truth_.Put(HostIn("mx1", {"mx"}));
    model::Domain domain;
    domain.name = "example.net";
    truth_.Put(domain);
  }

  std::unique_ptr<FeedStream> Open(Feed& feed, const std::string& host, Role role, uint64_t cursor) {
    auto stream = feed.Open(host, role, cursor);
    EXPECT_TRUE(stream.ok()) << stream.status();
    return stream.ok() ? *std::move(stream) : nullptr;
  }

  // Until there is nothing more.
  static absl::Status Drain(FeedStream& stream, Copy& copy) {
    for (;;) {
      absl::StatusOr<FeedStream::Step> step = stream.Next();
      if (!step.ok()) return step.status();
      if (step->message.has_value()) copy.Take(*step->message);
      if (!step->message.has_value() && !step->more) return absl::OkStatus();
    }
  }

  void PutMany(int64_t from, int64_t to) {
    for (int64_t id = from; id < to; ++id) truth_.Put(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  }

  MemoryTruth truth_;
};

TEST_F(FeedTest, NewAgentTakesASnapshotAndThenDeltas) {
  PutMany(1, 4);
  Feed feed(truth_);
  const auto stream = Open(feed, "mx1", Role::kRelay, 0);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.snapshots, 1);
  EXPECT_EQ(copy.revision, truth_.head());
  EXPECT_THAT(copy.Keys(), ElementsAre("domains/example.net", "pools/main", "pools/second", "subscribers/1",
                                       "subscribers/2", "subscribers/3"));
  PutMany(4, 6);
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.snapshots, 1);
  EXPECT_EQ(copy.revision, truth_.head());
  EXPECT_THAT(copy.records, SizeIs(8));
}

TEST_F(FeedTest, AgentThatIsUpToDateIsSentNothing) {
  Feed feed(truth_);
  const auto stream = Open(feed, "mx1", Role::kRelay, truth_.head());
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.batches, 0);
  EXPECT_EQ(copy.snapshots, 0);
}

TEST_F(FeedTest, ChangeOutsideTheViewStillMovesTheRevision) {
  Feed feed(truth_);
  const auto stream = Open(feed, "store1", Role::kStore, truth_.head());
  model::Subscriber elsewhere = TestSubscriber(9, "u9@example.net");
  elsewhere.store_pool = "second";
  truth_.Put(elsewhere);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.revision, truth_.head());
  EXPECT_THAT(copy.records, IsEmpty());
  EXPECT_THAT(copy.order, ElementsAre("-subscribers/9"));
}

TEST_F(FeedTest, OneAggregateIsSentOnceAsItIsNow) {
  Feed feed(truth_);
  const uint64_t before = truth_.head();
  model::Subscriber alice = TestSubscriber(1, "alice@example.net");
  truth_.Put(alice);
  PutMany(2, 3);
  alice.addresses.push_back("info@example.net");
  truth_.Put(alice);
  const auto stream = Open(feed, "mx1", Role::kRelay, before);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_THAT(copy.order, ElementsAre("subscribers/2", "subscribers/1"));  // in the order of the last change
  EXPECT_EQ(copy.records["subscribers/1"].mail_route().addresses_size(), 2);
}

TEST_F(FeedTest, AddressMovesFromOneSubscriberToAnother) {
  model::Subscriber alice = TestSubscriber(1, "alice@example.net");
  alice.addresses.push_back("info@example.net");
  model::Subscriber bob = TestSubscriber(2, "bob@example.net");
  truth_.PutAll({alice, bob});
  for (const size_t changes : {size_t{1}, size_t{500}}) {
    Feed feed(truth_, {.changes_per_round = changes});
    const auto stream = Open(feed, "mx1", Role::kRelay, truth_.head());
    Copy copy;
    alice.addresses.pop_back();
    truth_.Put(alice);
    bob.addresses.push_back("info@example.net");
    truth_.Put(bob);
    ASSERT_TRUE(Drain(*stream, copy).ok());
    EXPECT_THAT(copy.order, ElementsAre("subscribers/1", "subscribers/2"));
    EXPECT_THAT(copy.records["subscribers/1"].mail_route().addresses(), ElementsAre("alice@example.net"));
    EXPECT_THAT(copy.records["subscribers/2"].mail_route().addresses(),
                ElementsAre("bob@example.net", "info@example.net"));
    alice.addresses = {"alice@example.net", "info@example.net"};
    bob.addresses = {"bob@example.net"};
    truth_.PutAll({alice, bob});
  }
}

TEST_F(FeedTest, ClosedLeavesTheRelayAndStaysAtTheStore) {
  model::Subscriber alice = TestSubscriber(1, "alice@example.net");
  truth_.Put(alice);
  Feed feed(truth_);
  const auto relay = Open(feed, "mx1", Role::kRelay, 0);
  const auto store = Open(feed, "store1", Role::kStore, 0);
  Copy at_relay, at_store;
  ASSERT_TRUE(Drain(*relay, at_relay).ok());
  ASSERT_TRUE(Drain(*store, at_store).ok());
  alice.state = model::State::kClosed;
  truth_.Put(alice);
  ASSERT_TRUE(Drain(*relay, at_relay).ok());
  ASSERT_TRUE(Drain(*store, at_store).ok());
  EXPECT_FALSE(at_relay.records.contains("subscribers/1"));
  EXPECT_TRUE(at_store.records["subscribers/1"].mailbox().closed());
  alice.state = model::State::kPurged;
  truth_.Put(alice);
  ASSERT_TRUE(Drain(*store, at_store).ok());
  EXPECT_FALSE(at_store.records.contains("subscribers/1"));
}

TEST_F(FeedTest, RemovedDomainIsNamed) {
  Feed feed(truth_);
  const auto stream = Open(feed, "mx1", Role::kRelay, 0);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  truth_.RemoveDomain("example.net");
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_FALSE(copy.records.contains("domains/example.net"));
}

TEST_F(FeedTest, HostsChangeIsSeenInTheirPools) {
  Feed feed(truth_);
  const auto stream = Open(feed, "mx1", Role::kRelay, 0);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  model::Host store2 = HostIn("store2", {"main"});
  truth_.Put(store2);
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.records["pools/main"].pool().members_size(), 2);
  store2.pools = {"second"};
  truth_.Put(store2);
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.records["pools/main"].pool().members_size(), 1);
  EXPECT_EQ(copy.records["pools/second"].pool().members_size(), 1);
  const uint64_t before = copy.records["pools/second"].revision();
  truth_.RemoveHost("store2");
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.records["pools/second"].pool().members_size(), 0);
  EXPECT_GT(copy.records["pools/second"].revision(), before);
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
  EXPECT_THAT(copy.records, SizeIs(7));

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
  EXPECT_THAT(copy.records, SizeIs(1202));
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

TEST_F(FeedTest, OversizedRecordTravelsAlone) {
  model::Subscriber big = TestSubscriber(2, "big@example.net");
  for (int i = 0; i < 400; ++i) big.addresses.push_back(fmt::format("alias{}@example.net", i));
  const uint64_t before = truth_.head();
  PutMany(1, 2);
  truth_.Put(big);
  PutMany(3, 4);
  Feed feed(truth_, {.octets_per_batch = 1000});
  const auto stream = Open(feed, "mx1", Role::kRelay, before);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.batches, 3);
  EXPECT_THAT(copy.records, SizeIs(3));
}

TEST_F(FeedTest, RevisionWithManyChangesIsNeverTorn) {
  const uint64_t before = truth_.head();
  PutMany(1, 3);
  std::vector<model::Subscriber> many;
  for (int64_t id = 10; id < 60; ++id) many.push_back(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  truth_.PutAll(many);
  PutMany(3, 5);
  Feed feed(truth_, {.changes_per_round = 4});
  const auto stream = Open(feed, "mx1", Role::kRelay, before);
  Copy copy;
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_THAT(copy.records, SizeIs(54));
  EXPECT_EQ(copy.revision, truth_.head());
}

TEST_F(FeedTest, LongDeltaCanBeResumedAfterEachRound) {
  const uint64_t before = truth_.head();
  PutMany(1, 30);
  Feed feed(truth_, {.changes_per_round = 10});
  auto stream = Open(feed, "mx1", Role::kRelay, before);
  Copy copy;
  const auto step = stream->Next();
  ASSERT_TRUE(step.ok() && step->message.has_value());
  copy.Take(*step->message);
  EXPECT_GT(copy.revision, before);
  EXPECT_LT(copy.revision, truth_.head());
  EXPECT_EQ(copy.head, truth_.head());
  stream = Open(feed, "mx1", Role::kRelay, copy.revision);
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_THAT(copy.records, SizeIs(29));
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
  EXPECT_THAT(copy.Keys(), ElementsAre("domains/example.net", "subscribers/1", "subscribers/2"));
  const uint64_t before = copy.revision;
  truth_.Put(HostIn("store1", {"second"}));
  ASSERT_TRUE(Drain(*stream, copy).ok());
  EXPECT_EQ(copy.snapshots, 2);
  EXPECT_THAT(copy.Keys(), ElementsAre("domains/example.net", "subscribers/9"));

  // The same if it was away when that happened.
  const auto later = Open(feed, "store1", Role::kStore, before);
  Copy other;
  ASSERT_TRUE(Drain(*later, other).ok());
  EXPECT_EQ(other.snapshots, 1);
  EXPECT_THAT(other.Keys(), ElementsAre("domains/example.net", "subscribers/9"));
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
  EXPECT_THAT(copy.records, SizeIs(31));  // and a domain, and two pools
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
