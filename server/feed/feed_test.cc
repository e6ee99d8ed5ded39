#include "server/feed/feed.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/feed/feed_fixture.h"

namespace prov::feed {
namespace {

using directory::TestSubscriber;
using model::Role;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

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

}  // namespace
}  // namespace prov::feed
