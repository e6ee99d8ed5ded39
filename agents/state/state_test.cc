#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "agents/state/reader.h"
#include "agents/state/test_records.h"
#include "agents/state/writer.h"
#include "common/status.h"

namespace prov::state {
namespace {

using std::chrono::seconds;
using std::chrono::system_clock;

const system_clock::time_point kNow = system_clock::time_point(std::chrono::hours(24 * 20000));

class State : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }

  void Reopen() {
    reader_.reset();
    writer_.reset();
    auto writer = StateWriter::Open(directory_.path());
    ASSERT_TRUE(writer.ok()) << writer.status();
    writer_ = std::move(*writer);
    auto reader = StateReader::Open(directory_.path());
    ASSERT_TRUE(reader.ok()) << reader.status();
    reader_ = std::move(*reader);
  }

  void Apply(v1::Role role, const v1::Batch& batch) {
    const absl::Status status = writer_->ApplyBatch(role, batch);
    ASSERT_TRUE(status.ok()) << status;
  }

  // Does all drivers' work with one outcome; the keys that were pending.
  std::vector<std::string> SettleAll(v1::Role role, const absl::Status& status = absl::OkStatus()) {
    const auto pending = writer_->Pending(role, kNow, 10000);
    std::vector<Outcome> outcomes;
    std::vector<std::string> keys;
    for (const PendingItem& item : pending.value()) {
      outcomes.push_back({item.key, item.ticket, status, kNow + seconds(10)});
      keys.push_back(item.key);
    }
    EXPECT_TRUE(writer_->Settle(role, outcomes).ok());
    return keys;
  }

  uint64_t Received(v1::Role role) { return writer_->GetFreshness(role)->received_revision; }
  uint64_t Applied(v1::Role role) { return writer_->GetFreshness(role)->applied_revision; }

  TestDirectory directory_;
  std::unique_ptr<StateWriter> writer_;
  std::unique_ptr<StateReader> reader_;
};

TEST_F(State, FindsRecordsByAddressLoginAndName) {
  Apply(v1::STORE, BatchOf(5, {MailboxRecord(1, 5, {"alias@example.net"})}));
  EXPECT_EQ(reader_->FindMailboxByAddress("alias@example.net")->mailbox_id(), "box-1");
  EXPECT_EQ(reader_->FindMailboxByLogin("user1@example.net")->mailbox_id(), "box-1");
  EXPECT_TRUE(absl::IsNotFound(reader_->FindMailboxByLogin("alias@example.net").status()));
  EXPECT_TRUE(absl::IsNotFound(reader_->FindMailboxByAddress("").status()));
  EXPECT_TRUE(absl::IsNotFound(reader_->FindMailboxByAddress(std::string(5000, 'a')).status()));

  v1::Record domain, pool;
  domain.set_key("domains/example.net");
  domain.mutable_domain()->set_domain("example.net");
  pool.set_key("pools/main");
  pool.mutable_pool()->set_pool("main");
  pool.mutable_pool()->add_members()->set_host("store1");
  Apply(v1::RELAY, BatchOf(6, {domain, pool, RouteRecord(1, 6)}));
  EXPECT_EQ(reader_->FindDomain(v1::RELAY, "example.net")->domain(), "example.net");
  EXPECT_EQ(reader_->FindPool(v1::RELAY, "main")->members(0).host(), "store1");
  EXPECT_EQ(reader_->FindMailRoute("user1@example.net")->pool(), "main");
}

TEST_F(State, ADrainedHostTakesNewSessionsOnlyWhileNobodyElseInItsPoolDoes) {
  v1::Record own;
  own.set_key("pools/mx");
  own.mutable_pool()->set_pool("mx");
  own.mutable_pool()->set_role(v1::RELAY);
  const auto members = [&](const std::vector<std::pair<const char*, bool>>& hosts) {
    own.set_revision(own.revision() + 1);
    own.mutable_pool()->clear_members();
    for (const auto& [host, drained] : hosts) {
      v1::PoolMembers::Member* member = own.mutable_pool()->add_members();
      member->set_host(host);
      member->set_drained(drained);
    }
    Apply(v1::RELAY, BatchOf(own.revision(), {own}));
  };
  EXPECT_TRUE(reader_->TakesNewSessions(v1::RELAY, "mx1"));  // nobody has told us
  members({{"mx1", true}, {"mx2", false}});
  EXPECT_FALSE(reader_->TakesNewSessions(v1::RELAY, "mx1"));
  EXPECT_TRUE(reader_->TakesNewSessions(v1::RELAY, "mx2"));
  EXPECT_TRUE(reader_->TakesNewSessions(v1::RELAY, "elsewhere"));
  EXPECT_TRUE(reader_->TakesNewSessions(v1::POP_PROXY, "mx1"));
  members({{"mx1", true}, {"mx2", true}});
  EXPECT_TRUE(reader_->TakesNewSessions(v1::RELAY, "mx1"));
}

TEST_F(State, WithoutASnapshotNothingIsKnownNotToExist) {
  EXPECT_TRUE(absl::IsUnavailable(reader_->FindMailRoute("user1@example.net").status()));
  EXPECT_TRUE(absl::IsUnavailable(reader_->FindDomain(v1::RELAY, "example.net").status()));
  Apply(v1::RELAY, BatchOf(1, {}));
  EXPECT_TRUE(absl::IsNotFound(reader_->FindMailRoute("user1@example.net").status()));
}

TEST_F(State, AddressMayMoveBetweenSubscribersWithinABatchInEitherOrder) {
  Apply(v1::STORE, BatchOf(1, {MailboxRecord(1, 1, {"x@example.net"}), MailboxRecord(2, 1)}));
  // The gainer comes first, then who loses it.
  Apply(v1::STORE, BatchOf(2, {MailboxRecord(2, 2, {"x@example.net"}), MailboxRecord(1, 2)}));
  EXPECT_EQ(reader_->FindMailboxByAddress("x@example.net")->mailbox_id(), "box-2");
  // And the other way round.
  Apply(v1::STORE, BatchOf(3, {MailboxRecord(2, 3), MailboxRecord(1, 3, {"x@example.net"})}));
  EXPECT_EQ(reader_->FindMailboxByAddress("x@example.net")->mailbox_id(), "box-1");
  // The loser is removed in the batch in which another gains.
  Apply(v1::STORE, BatchOf(4, {MailboxRecord(2, 4, {"x@example.net"})}, {"subscribers/1"}));
  EXPECT_EQ(reader_->FindMailboxByAddress("x@example.net")->mailbox_id(), "box-2");
  EXPECT_TRUE(absl::IsNotFound(reader_->FindMailboxByAddress("user1@example.net").status()));
}

TEST_F(State, SnapshotOverAFullCopyQueuesOnlyWhatDiffers) {
  std::vector<v1::Record> all;
  for (int id = 1; id <= 300; ++id) all.push_back(MailboxRecord(id, 1));
  Apply(v1::STORE, BatchOf(1, all));
  EXPECT_EQ(SettleAll(v1::STORE).size(), 300u);
  ASSERT_TRUE(writer_->BeginSnapshot(v1::STORE).ok());
  all.erase(all.begin() + 6);                         // 7 is gone
  all[3] = MailboxRecord(4, 2, {"new@example.net"});  // 4 differs
  all.push_back(MailboxRecord(301, 2));               // 301 is new
  ASSERT_TRUE(writer_->ApplySnapshotBatch(v1::STORE, BatchOf(0, all)).ok());
  EXPECT_EQ(Received(v1::STORE), 1u);
  EXPECT_TRUE(reader_->FindMailboxByLogin("user7@example.net").ok());  // not before the end
  ASSERT_TRUE(writer_->EndSnapshot(v1::STORE, 9).ok());
  EXPECT_EQ(Received(v1::STORE), 9u);
  EXPECT_FALSE(reader_->FindMailboxByLogin("user7@example.net").ok());
  const std::vector<std::string> expected = {"subscribers/4", "subscribers/301", "subscribers/7"};
  EXPECT_EQ(SettleAll(v1::STORE), expected);
}

TEST_F(State, InterruptedSnapshotRemovesNothing) {
  Apply(v1::STORE, BatchOf(1, {MailboxRecord(1, 1), MailboxRecord(2, 1)}));
  SettleAll(v1::STORE);
  ASSERT_TRUE(writer_->BeginSnapshot(v1::STORE).ok());
  ASSERT_TRUE(writer_->ApplySnapshotBatch(v1::STORE, BatchOf(0, {MailboxRecord(1, 1)})).ok());
  Reopen();
  EXPECT_TRUE(reader_->FindMailboxByLogin("user2@example.net").ok());
  // Started over, it names the other one only.
  ASSERT_TRUE(writer_->BeginSnapshot(v1::STORE).ok());
  ASSERT_TRUE(writer_->ApplySnapshotBatch(v1::STORE, BatchOf(0, {MailboxRecord(2, 1)})).ok());
  ASSERT_TRUE(writer_->EndSnapshot(v1::STORE, 3).ok());
  EXPECT_FALSE(reader_->FindMailboxByLogin("user1@example.net").ok());
  EXPECT_TRUE(reader_->FindMailboxByLogin("user2@example.net").ok());
  EXPECT_EQ(SettleAll(v1::STORE), std::vector<std::string>{"subscribers/1"});
}

TEST_F(State, TooManyRemovalsChangeNothingUntilAllowed) {
  std::vector<v1::Record> all;
  std::vector<std::string> removed;
  for (int id = 1; id <= 200; ++id) all.push_back(MailboxRecord(id, 1));
  for (int id = 1; id <= 21; ++id) removed.push_back(all[id - 1].key());
  Apply(v1::STORE, BatchOf(1, all));
  SettleAll(v1::STORE);
  const absl::Status refused = writer_->ApplyBatch(v1::STORE, BatchOf(2, {}, removed));
  EXPECT_EQ(ReasonOf(refused), kTooManyRemovals) << refused;
  EXPECT_EQ(Received(v1::STORE), 1u);
  EXPECT_TRUE(reader_->FindMailboxByLogin("user1@example.net").ok());
  EXPECT_TRUE(SettleAll(v1::STORE).empty());

  // Unknown keys, and such as the batch brings back, do not count.
  std::vector<std::string> unknown = {"subscribers/1"};
  for (int id = 1000; id < 1100; ++id) unknown.push_back(fmt::format("subscribers/{}", id));
  Apply(v1::STORE, BatchOf(2, {MailboxRecord(1, 2)}, unknown));
  EXPECT_TRUE(reader_->FindMailboxByLogin("user1@example.net").ok());

  ASSERT_TRUE(writer_->BeginSnapshot(v1::STORE).ok());
  EXPECT_EQ(ReasonOf(writer_->EndSnapshot(v1::STORE, 3)), kTooManyRemovals);
  EXPECT_TRUE(reader_->FindMailboxByLogin("user5@example.net").ok());
  EXPECT_TRUE(writer_->EndSnapshot(v1::STORE, 3, {.allowed = 200}).ok());
  EXPECT_FALSE(reader_->FindMailboxByLogin("user5@example.net").ok());
}

TEST_F(State, ReplayedBatchIsTheSameAsOnce) {
  const v1::Batch batch = BatchOf(7, {MailboxRecord(1, 7)}, {"subscribers/9"});
  Apply(v1::STORE, batch);
  SettleAll(v1::STORE);
  Apply(v1::STORE, batch);
  EXPECT_TRUE(SettleAll(v1::STORE).empty());
  EXPECT_EQ(Received(v1::STORE), 7u);
  EXPECT_EQ(Applied(v1::STORE), 7u);
}

TEST_F(State, AppliedFollowsDriversAndIsNotHeldUpByFailures) {
  Apply(v1::RELAY, BatchOf(3, {RouteRecord(1, 3)}));
  EXPECT_EQ(Applied(v1::RELAY), 3u);  // stored is applied
  Apply(v1::STORE, BatchOf(3, {MailboxRecord(1, 3)}));
  Apply(v1::STORE, BatchOf(4, {MailboxRecord(2, 4)}));
  EXPECT_EQ(Applied(v1::STORE), 0u);
  auto pending = writer_->Pending(v1::STORE, kNow, 1);
  ASSERT_EQ(pending->size(), 1u);
  EXPECT_EQ(pending->front().key, "subscribers/1");
  const std::vector<Outcome> failed = {
      {"subscribers/1", pending->front().ticket, absl::UnavailableError("disk away"), kNow + seconds(10)}};
  ASSERT_TRUE(writer_->Settle(v1::STORE, failed).ok());
  EXPECT_EQ(Applied(v1::STORE), 3u);
  EXPECT_EQ(SettleAll(v1::STORE), std::vector<std::string>{"subscribers/2"});
  EXPECT_EQ(Applied(v1::STORE), 4u);

  auto failing = writer_->GetFailing(v1::STORE, 10);
  EXPECT_EQ(failing->count, 1u);
  EXPECT_EQ(failing->items.at(0).error, "disk away");
  EXPECT_EQ(failing->items.at(0).attempts, 1u);
  EXPECT_EQ(*writer_->NextDue(v1::STORE, kNow), kNow + seconds(10));
  EXPECT_TRUE(writer_->Pending(v1::STORE, kNow + seconds(9), 10)->empty());
  pending = writer_->Pending(v1::STORE, kNow + seconds(10), 10);
  ASSERT_EQ(pending->size(), 1u);
  EXPECT_EQ(pending->front().attempts, 1u);
  // A restart tries at once, whatever the clock says.
  Reopen();
  EXPECT_EQ(SettleAll(v1::STORE), std::vector<std::string>{"subscribers/1"});
  EXPECT_EQ(writer_->GetFailing(v1::STORE, 10)->count, 0u);
  EXPECT_FALSE(writer_->NextDue(v1::STORE, kNow)->has_value());
}

// Planned for a tomorrow that is a week away since the clock was corrected.
TEST_F(State, AClockThatIsSetBackMakesNobodyWaitLongerThanARest) {
  Apply(v1::STORE, BatchOf(2, {MailboxRecord(1, 1), MailboxRecord(2, 2)}));
  SettleAll(v1::STORE, absl::UnavailableError("disk away"));  // until kNow + 10 s
  const auto before = kNow - std::chrono::hours(7 * 24);
  EXPECT_EQ(*writer_->NextDue(v1::STORE, before), before);
  EXPECT_EQ(writer_->Pending(v1::STORE, before, 10)->size(), 2u);
  // Among others that do have to wait.
  const auto pending = writer_->Pending(v1::STORE, before, 1);
  ASSERT_TRUE(writer_
                  ->Settle(v1::STORE, {{pending->front().key, pending->front().ticket,
                                        absl::UnavailableError("disk away"), before + seconds(60)}})
                  .ok());
  ASSERT_EQ(writer_->Pending(v1::STORE, before, 10)->size(), 1u);
  EXPECT_NE(writer_->Pending(v1::STORE, before, 10)->front().key, pending->front().key);
  // A little is no matter, and the longest rest is not cut short.
  EXPECT_TRUE(writer_->Pending(v1::STORE, before + seconds(10), 10)->size() == 1);
  EXPECT_TRUE(writer_->Pending(v1::STORE, kNow - seconds(300), 10)->size() == 1);
}

TEST_F(State, ItemReplacedMeanwhileStays) {
  Apply(v1::STORE, BatchOf(1, {MailboxRecord(1, 1)}));
  const auto first = writer_->Pending(v1::STORE, kNow, 10);
  Apply(v1::STORE, BatchOf(2, {}, {"subscribers/1"}));
  ASSERT_TRUE(
      writer_->Settle(v1::STORE, {{"subscribers/1", first->front().ticket, absl::OkStatus(), {}}}).ok());
  const auto second = writer_->Pending(v1::STORE, kNow, 10);
  ASSERT_EQ(second->size(), 1u);
  EXPECT_FALSE(second->front().record.has_value());
  EXPECT_EQ(second->front().previous->mailbox().mailbox_id(), "box-1");
  EXPECT_EQ(Applied(v1::STORE), 0u);
}

TEST_F(State, HostileRecordsAreRejectedByThemselvesAndReported) {
  std::vector<v1::Record> hostile;
  const auto with = [&](auto change) {
    hostile.push_back(MailboxRecord(static_cast<int>(100 + hostile.size()), 1));
    change(hostile.back());
  };
  with([](v1::Record& r) { r.mutable_mailbox()->set_mailbox_id(".."); });
  with([](v1::Record& r) { r.mutable_mailbox()->set_mailbox_id("../../etc"); });
  with([](v1::Record& r) { r.mutable_mailbox()->set_mailbox_id(std::string("a\0b", 3)); });
  with([](v1::Record& r) { r.mutable_mailbox()->set_mailbox_id(""); });
  with([](v1::Record& r) { r.mutable_mailbox()->set_mailbox_id(std::string(65, 'a')); });
  with([](v1::Record& r) { r.mutable_mailbox()->set_login("root"); });
  with([](v1::Record& r) { r.mutable_mailbox()->set_login("a\nroot::0:0@example.net"); });
  with([](v1::Record& r) { r.mutable_mailbox()->add_addresses("UPPER@example.net"); });
  with([](v1::Record& r) { r.mutable_mailbox()->add_forward_targets("|sh@example.net"); });
  with([](v1::Record& r) { r.set_key("subscribers/../5"); });
  with([](v1::Record& r) { r.set_key(""); });
  with([](v1::Record& r) { r.set_key(std::string(100000, 'k')); });
  with([](v1::Record& r) { r.set_key("domains/5"); });
  with([](v1::Record& r) { r.clear_body(); });
  with([](v1::Record& r) { r.mutable_account()->set_login("user@example.net"); });
  std::vector<v1::Record> all = hostile;
  all.insert(all.begin() + 7, MailboxRecord(1, 1));
  Apply(v1::STORE, BatchOf(1, all));
  EXPECT_EQ(Received(v1::STORE), 1u);
  EXPECT_EQ(SettleAll(v1::STORE), std::vector<std::string>{"subscribers/1"});
  EXPECT_EQ(writer_->GetFailing(v1::STORE, 100)->count, hostile.size());
  EXPECT_EQ(writer_->GetFailing(v1::STORE, 4)->items.size(), 4u);
  // A good one in its place mends it; so does its removal.
  Apply(v1::STORE, BatchOf(2, {MailboxRecord(100, 2)}, {"subscribers/101"}));
  EXPECT_EQ(writer_->GetFailing(v1::STORE, 100)->count, hostile.size() - 2);
}

TEST_F(State, ListsAndMembersAreKeptAndHostileOnesRejected) {
  const auto member = [](const std::string& key, const std::string& address) {
    v1::Record record;
    record.set_key(key);
    record.set_revision(1);
    record.mutable_list_member()->set_address(address);
    return record;
  };
  v1::Record list;
  list.set_key("lists/staff@example.net");
  list.set_revision(1);
  list.mutable_list()->set_address("staff@example.net");
  list.mutable_list()->add_owners("alice@example.net");
  v1::Record other_key = list;
  other_key.set_key("lists/other@example.net");
  // As long as provd lets both addresses be.
  const std::string domain =
      std::string(63, 'd') + "." + std::string(63, 'd') + "." + std::string(56, 'd') + ".net";
  const std::string longest = std::string(12, 'l') + "@" + domain.substr(0, 187);
  const std::string far = std::string(64, 'm') + "@" + domain;
  const std::string staff = "lists/staff@example.net/members/";
  Apply(v1::LIST, BatchOf(1, {list, member(staff + "bob@example.org", "bob@example.org"),
                              member("lists/" + longest + "/members/" + far, far), other_key,
                              member(staff + "bob@example.org", "eve@example.org"),
                              member("subscribers/5", "bob@example.org"), member(staff + "../x", "../x")}));
  size_t records = 0;
  const auto count = [&](const v1::Record&) {
    ++records;
    return absl::OkStatus();
  };
  ASSERT_TRUE(writer_->ForEachRecord(v1::LIST, count).ok());
  EXPECT_EQ(records, 3u);
  EXPECT_EQ(writer_->GetFailing(v1::LIST, 100)->count, 4u);
  Apply(v1::RELAY, BatchOf(1, {member(staff + "bob@example.org", "bob@example.org")}));
  EXPECT_EQ(writer_->GetFailing(v1::RELAY, 100)->count, 1u);  // who is on a list is no relay's business
}

TEST_F(State, ListThatGoesTakesItsMembersAlongAndManySmallStepsAreNoWayRound) {
  v1::Record list;
  list.set_key("lists/staff@example.net");
  list.set_revision(1);
  list.mutable_list()->set_address("staff@example.net");
  std::vector<v1::Record> all = {list};
  std::vector<std::string> members;
  for (int i = 0; i < 300; ++i) {
    v1::Record member;
    const std::string address = fmt::format("m{}@example.org", i);
    member.set_key(list.key() + "/members/" + address);
    member.set_revision(1);
    member.mutable_list_member()->set_address(address);
    members.push_back(member.key());
    all.push_back(member);
  }
  Apply(v1::LIST, BatchOf(1, all));
  EXPECT_EQ(ReasonOf(writer_->ApplyBatch(v1::LIST, BatchOf(2, {}, members))), kTooManyRemovals);
  EXPECT_EQ(writer_->RemovedRecords(v1::LIST), 0u);
  Apply(v1::LIST, BatchOf(2, {}, {list.key(), members[0]}));
  Apply(v1::LIST, BatchOf(3, {}, members));
  EXPECT_EQ(writer_->RemovedRecords(v1::LIST), 1u);

  Apply(v1::STORE, BatchOf(1, {MailboxRecord(1, 1), MailboxRecord(2, 1)}));
  const v1::Batch one = BatchOf(2, {}, {"subscribers/1"});
  EXPECT_EQ(ReasonOf(writer_->ApplyBatch(v1::STORE, one, {.earlier = 1000})), kTooManyRemovals);
  EXPECT_TRUE(reader_->FindMailboxByLogin("user1@example.net").ok());
  EXPECT_TRUE(writer_->ApplyBatch(v1::STORE, one, {.allowed = 1001, .earlier = 1000}).ok());
  EXPECT_EQ(writer_->RemovedRecords(v1::STORE), 1u);
}

TEST_F(State, MovesAreForStoresAndHostileOnesRejected) {
  v1::Record good;
  good.set_key("moves/17");
  good.set_revision(1);
  good.mutable_mailbox_transit()->set_mailbox_id("box-1");
  good.mutable_mailbox_transit()->set_from_pool("main");
  good.mutable_mailbox_transit()->set_to_pool("second");
  std::vector<v1::Record> bad(4, good);
  bad[0].set_key("moves/x");
  bad[1].set_key("moves/18");
  bad[1].mutable_mailbox_transit()->set_mailbox_id("../box");
  bad[2].set_key("moves/19");
  bad[2].mutable_mailbox_transit()->set_to_pool("main");
  bad[3].set_key("moves/20");
  bad[3].mutable_mailbox_transit()->set_from_pool("a/b");
  Apply(v1::STORE, BatchOf(1, {good, bad[0], bad[1], bad[2], bad[3]}));
  EXPECT_EQ(writer_->GetFailing(v1::STORE, 10)->count, 4u);
  Apply(v1::RELAY, BatchOf(1, {good}));
  EXPECT_EQ(writer_->GetFailing(v1::RELAY, 10)->count, 1u);
}

TEST_F(State, MovesAreListedPageByPage) {
  std::vector<v1::Record> records;
  for (int i = 0; i < 5; ++i) {
    v1::Record& record = records.emplace_back();
    record.set_key("moves/" + std::to_string(10 + i));
    record.set_revision(1);
    record.mutable_mailbox_transit()->set_mailbox_id("box-1");
    record.mutable_mailbox_transit()->set_from_pool("main");
    record.mutable_mailbox_transit()->set_to_pool("second");
  }
  Apply(v1::STORE, BatchOf(1, records));
  const auto first = reader_->MailboxTransits("", 3);
  ASSERT_EQ(first->size(), 3u);
  EXPECT_EQ(first->begin()->first, "moves/10");
  const auto rest = reader_->MailboxTransits(first->rbegin()->first, 3);
  ASSERT_EQ(rest->size(), 2u);
  EXPECT_EQ(rest->begin()->first, "moves/13");
}

// An operator who empties a pool has said so; each host need not be told again.
TEST_F(State, MailboxesThatMovedAwayAreNoMassRemoval) {
  std::vector<v1::Record> records;
  std::vector<std::string> keys;
  for (int i = 0; i < 50; ++i) {
    v1::Record& mailbox = records.emplace_back(MailboxRecord(i, 1));
    keys.push_back(mailbox.key());
    mailbox.mutable_mailbox()->set_leaving(true);
    v1::Record& move = records.emplace_back();
    move.set_key("moves/" + std::to_string(i));
    move.set_revision(1);
    move.mutable_mailbox_transit()->set_mailbox_id("box-" + std::to_string(i));
    move.mutable_mailbox_transit()->set_from_pool("main");
    move.mutable_mailbox_transit()->set_to_pool("second");
    keys.push_back(move.key());
  }
  Apply(v1::STORE, BatchOf(1, records));
  Apply(v1::STORE, BatchOf(2, {}, {keys.begin(), keys.begin() + 50}));
  ASSERT_TRUE(writer_->BeginSnapshot(v1::STORE).ok());
  EXPECT_TRUE(writer_->EndSnapshot(v1::STORE, 3).ok());
  EXPECT_EQ(writer_->RemovedRecords(v1::STORE), 0u);
  EXPECT_FALSE(reader_->FindMailboxByLogin("user49@example.net").ok());
}

TEST_F(State, HostileAccountsAreRejected) {
  std::vector<v1::Record> hostile;
  for (int i = 0; i < 6; ++i) hostile.push_back(AccountRecord(i, 1, 20000 + i));
  hostile[0].mutable_account()->set_uid_number(0);
  hostile[1].mutable_account()->set_uid_number(0xffffffff);
  hostile[2].mutable_account()->set_login("daemon");
  hostile[3].mutable_account()->set_login("+alice@example.net");
  hostile[4].mutable_account()->set_display_name("a\nroot:x:0:0::/:/bin/sh");
  hostile[5].mutable_account()->set_home_id("..");
  Apply(v1::FTP, BatchOf(1, hostile));
  EXPECT_EQ(writer_->GetFailing(v1::FTP, 100)->count, hostile.size());
  EXPECT_TRUE(SettleAll(v1::FTP).empty());
}

TEST_F(State, HostileNamesOfWebSpaceAreRejected) {
  const std::vector<std::string> names = {"",
                                          ".",
                                          "..",
                                          "../../etc",
                                          "localhost",
                                          "www.shop.example/x",
                                          "www.shop.example\nx",
                                          "WWW.shop.example",
                                          "b\xc3\xbc"
                                          "cher.example",
                                          "*.shop.example",
                                          "%{ENV:X}.example",
                                          "${a}.example",
                                          "-a.example",
                                          "a b.example",
                                          std::string("a\0.example", 10),
                                          std::string(64, 'a') + ".example",
                                          std::string(250, 'a')};
  std::vector<v1::Record> hostile;
  for (const std::string& name : names) {
    hostile.push_back(AccountRecord(100 + hostile.size(), 1, 20100 + hostile.size()));
    hostile.back().mutable_account()->add_web_names(name);
  }
  hostile.push_back(AccountRecord(99, 1, 20099));
  for (int i = 0; i < 101; ++i)
    hostile.back().mutable_account()->add_web_names(fmt::format("www{}.example.org", i));
  std::vector<v1::Record> all = hostile;
  all.push_back(AccountRecord(1, 1, 20001));
  all.back().mutable_account()->add_web_names("www.shop.example");
  Apply(v1::WEB, BatchOf(1, all));
  EXPECT_EQ(writer_->GetFailing(v1::WEB, 100)->count, hostile.size());
  EXPECT_EQ(SettleAll(v1::WEB), std::vector<std::string>{"subscribers/1"});
  // They are for web hosts alone.
  Apply(v1::FTP, BatchOf(1, {all.back()}));
  EXPECT_EQ(writer_->GetFailing(v1::FTP, 100)->count, 1u);
}

TEST_F(State, RejectedIsNotAbsentAndIdsOfDataNeverChange) {
  Apply(v1::STORE, BatchOf(1, {MailboxRecord(1, 1)}));
  v1::Record other = MailboxRecord(1, 2);
  other.mutable_mailbox()->set_mailbox_id("box-of-another");
  ASSERT_TRUE(writer_->BeginSnapshot(v1::STORE).ok());
  ASSERT_TRUE(writer_->ApplySnapshotBatch(v1::STORE, BatchOf(0, {other})).ok());
  ASSERT_TRUE(writer_->EndSnapshot(v1::STORE, 2).ok());
  EXPECT_EQ(reader_->FindMailboxByLogin("user1@example.net")->mailbox_id(), "box-1");
  EXPECT_EQ(writer_->GetFailing(v1::STORE, 10)->items.at(0).key, "subscribers/1");
}

TEST_F(State, CurrentMeansAllReceivedAndProvdHeardLately) {
  Apply(v1::RELAY, BatchOf(8, {}));
  EXPECT_FALSE(reader_->IsCurrent(v1::RELAY, kNow));
  ASSERT_TRUE(writer_->ConfirmHead(v1::RELAY, 8, kNow).ok());
  EXPECT_TRUE(reader_->IsCurrent(v1::RELAY, kNow + seconds(59)));
  EXPECT_FALSE(reader_->IsCurrent(v1::RELAY, kNow + seconds(61)));
  EXPECT_FALSE(reader_->IsCurrent(v1::RELAY, kNow - seconds(61)));
  ASSERT_TRUE(writer_->ConfirmHead(v1::RELAY, 9, kNow).ok());
  EXPECT_FALSE(reader_->IsCurrent(v1::RELAY, kNow));
  EXPECT_FALSE(reader_->IsCurrent(v1::STORE, kNow));
}

TEST_F(State, RequeueBringsBackWhatIsThereAndNotPending) {
  Apply(v1::STORE, BatchOf(1, {MailboxRecord(1, 1)}));
  SettleAll(v1::STORE);
  ASSERT_TRUE(writer_->Requeue(v1::STORE, {"subscribers/1", "subscribers/2"}).ok());
  EXPECT_EQ(SettleAll(v1::STORE), std::vector<std::string>{"subscribers/1"});
}

TEST_F(State, BrokenFilesAreDataLossAndAbsentOnesUnavailable) {
  std::vector<v1::Record> all;
  for (int id = 1; id <= 2000; ++id) all.push_back(MailboxRecord(id, 1));
  Apply(v1::STORE, BatchOf(1, all));
  reader_.reset();
  writer_.reset();
  const std::string file = directory_.path() + "/data.mdb";
  const auto whole = std::filesystem::file_size(file);
  std::filesystem::resize_file(file, whole / 2);
  EXPECT_TRUE(absl::IsDataLoss(StateWriter::Open(directory_.path()).status()));
  EXPECT_TRUE(absl::IsDataLoss(StateReader::Open(directory_.path()).status()));
  std::ofstream(file, std::ios::trunc) << std::string(20000, 'x');
  EXPECT_TRUE(absl::IsDataLoss(StateWriter::Open(directory_.path()).status()));
  const TestDirectory empty;
  EXPECT_TRUE(absl::IsUnavailable(StateReader::Open(empty.path()).status()));
}

// The agent is root and the engine is not: it reads through its group.
TEST_F(State, AnotherUserOfTheGroupReadsAndOthersDoNot) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  constexpr gid_t kGroup = 54321;
  constexpr uid_t kUser = 54322;
  Apply(v1::STORE, BatchOf(1, {MailboxRecord(1, 1)}));
  reader_.reset();
  writer_.reset();
  ASSERT_TRUE(StateWriter::Open(directory_.path(), {.readers_group = kGroup}).ok());
  ASSERT_EQ(chown(directory_.path().c_str(), 0, kGroup), 0);
  ASSERT_EQ(chmod(directory_.path().c_str(), 0750), 0);
  const auto reads_as = [&](gid_t group) {
    const pid_t child = fork();
    if (child == 0) {
      if (setgid(group) != 0 || setuid(kUser) != 0) _exit(2);
      const auto reader = StateReader::Open(directory_.path());
      if (!reader.ok() || !(*reader)->FindMailboxByLogin("user1@example.net").ok()) _exit(1);
      _exit(open((directory_.path() + "/data.mdb").c_str(), O_RDWR) >= 0 ? 3 : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(reads_as(kGroup), 0);
  EXPECT_EQ(reads_as(kGroup + 1), 1);
}

// Batch k gives every one of the subscribers revision k, and one more subscriber.
constexpr int kRows = 12;
v1::Batch NumberedBatch(int number) {
  std::vector<v1::Record> records;
  for (int id = 1; id <= kRows; ++id) {
    records.push_back(MailboxRecord(id, number, {fmt::format("at{}-{}@example.net", number, id)}));
  }
  records.push_back(MailboxRecord(1000 + number, number));
  return BatchOf(number, records);
}

TEST_F(State, KilledAtAnyMomentItHoldsAPrefixOfTheBatchesAndTheirCursor) {
  std::mt19937 random(20261123);
  uint64_t last = 0;
  for (int round = 0; round < 25; ++round) {
    reader_.reset();
    writer_.reset();
    int progress[2];
    ASSERT_EQ(pipe(progress), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto writer = StateWriter::Open(directory_.path());
      if (!writer.ok()) _exit(1);
      for (int number = static_cast<int>(last) + 1;; ++number) {
        if (!(*writer)->ApplyBatch(v1::STORE, NumberedBatch(number)).ok()) _exit(1);
        if (write(progress[1], &number, sizeof number) != sizeof number) _exit(1);
      }
    }
    close(progress[1]);
    int acknowledged = 0;
    const int wanted = static_cast<int>(random() % 6);
    for (int i = 0; i <= wanted; ++i) {
      ASSERT_EQ(read(progress[0], &acknowledged, sizeof acknowledged),
                static_cast<ssize_t>(sizeof acknowledged));
    }
    // Anywhere within the next batches.
    const auto moment = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 3000);
    while (std::chrono::steady_clock::now() < moment) {
    }
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    while (read(progress[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
    }
    close(progress[0]);

    Reopen();
    const uint64_t received = Received(v1::STORE);
    ASSERT_GE(received, static_cast<uint64_t>(acknowledged));  // what was acknowledged is durable
    ASSERT_LE(received, static_cast<uint64_t>(acknowledged) + 1);
    size_t numbered = 0;
    ASSERT_TRUE(writer_
                    ->ForEachRecord(v1::STORE,
                                    [&](const v1::Record& record) {
                                      const int id =
                                          std::stoi(record.key().substr(record.key().find('/') + 1));
                                      const uint64_t expected = id > 1000 ? id - 1000 : received;
                                      EXPECT_EQ(record.revision(), expected) << record.key();
                                      numbered += id > 1000;
                                      return absl::OkStatus();
                                    })
                    .ok());
    EXPECT_EQ(numbered, received);
    for (int id = 1; id <= kRows; ++id) {
      EXPECT_TRUE(reader_->FindMailboxByAddress(fmt::format("at{}-{}@example.net", received, id)).ok());
      EXPECT_FALSE(reader_->FindMailboxByAddress(fmt::format("at{}-{}@example.net", received + 1, id)).ok());
    }
    last = received;
  }
}

}  // namespace
}  // namespace prov::state
