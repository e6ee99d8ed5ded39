// Mailbox moves and the count of mailboxes in a real PostgreSQL.
#include <pqxx/pqxx>

#include "server/store/mailbox_move_repository.h"
#include "server/store/read_snapshot_postgres.h"
#include "server/store/store_fixture.h"

namespace prov::store {
namespace {

using model::MailboxMove;
using model::MoveState;

class MailboxMoves : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    AddPool("main");
    AddPool("second");
    AddHost("store1", "main");
    AddHost("store2", "second");
    AddDomain("example.net");
    alice_ = Add("alice@example.net");
  }

  int64_t Add(const std::string& login) {
    int64_t id = 0;
    EXPECT_TRUE(Write([&](WriteTransaction& write) {
                  const auto added = SubscriberRepository::Insert(write, NewSubscriber(login));
                  if (added.ok()) id = added->id;
                  return Done(added);
                }).ok());
    return id;
  }

  absl::StatusOr<MailboxMove> Begin(int64_t subscriber) {
    absl::StatusOr<MailboxMove> begun = absl::InternalError("not run");
    const auto written = Write([&](WriteTransaction& write) {
      MailboxMove move;
      move.subscriber_id = subscriber;
      move.from_pool = "main";
      move.to_pool = "second";
      begun = MailboxMoveRepository::Insert(write, move);
      return Done(begun);
    });
    if (!written.ok()) return written.status();
    return begun;
  }

  void SetState(const MailboxMove& move, MoveState state) {
    ASSERT_TRUE(Write([&](WriteTransaction& write) {
                  return Done(MailboxMoveRepository::SetState(write, move, state));
                }).ok());
  }

  model::Subscriber Alice() {
    const auto found = SubscriberRepository(*pool_).Get(std::to_string(alice_));
    EXPECT_TRUE(found.ok());
    return *found;
  }

  static int64_t MailboxesOf(const std::string& pool) {
    return Count("SELECT COALESCE((SELECT mailboxes FROM prov.pool_fill WHERE pool = '" + pool + "'), 0)");
  }

  int64_t alice_ = 0;
};

TEST_F(MailboxMoves, StepsTakeTheMailboxFromPoolToPool) {
  const auto move = Begin(alice_);
  ASSERT_TRUE(move.ok()) << move.status();
  EXPECT_EQ(move->mailbox_id, Alice().uid);
  EXPECT_EQ(Alice().store_pool, "main");
  SetState(*move, MoveState::kSwitching);
  EXPECT_EQ(Alice().store_pool, "second");
  EXPECT_EQ(Alice().leaving_pool, "main");
  SetState(*move, MoveState::kDone);
  EXPECT_EQ(Alice().store_pool, "second");
  EXPECT_EQ(Alice().leaving_pool, "");
}

TEST_F(MailboxMoves, OneAtATimeForAMailbox) {
  const auto first = Begin(alice_);
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(Begin(alice_).ok());
  SetState(*first, MoveState::kCancelled);
  EXPECT_EQ(Alice().store_pool, "main");
  EXPECT_TRUE(Begin(alice_).ok());
}

TEST_F(MailboxMoves, FollowersAreToldOfEachStepInOneRevision) {
  const auto move = Begin(alice_);
  ASSERT_TRUE(move.ok());
  PostgresSnapshotSource source(*pool_);
  const uint64_t before = (*source.OpenSnapshot())->head_revision();
  SetState(*move, MoveState::kSwitching);
  const auto snapshot = *source.OpenSnapshot();
  const auto changes = *snapshot->ChangesAfter(before, 10);
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].revision, changes[1].revision);
  EXPECT_EQ(changes[0].kind, AggregateKind::kSubscriber);
  EXPECT_EQ(changes[1].kind, AggregateKind::kMailboxMove);
  EXPECT_EQ(changes[1].key, std::to_string(move->id));
  ASSERT_EQ(snapshot->OpenMailboxMovesAfter(0, 10)->size(), 1u);
  EXPECT_EQ(snapshot->OpenMailboxMovesAfter(0, 10)->front().state, MoveState::kSwitching);
  EXPECT_TRUE(snapshot->OpenMailboxMovesAfter(move->id, 10)->empty());
  SetState(*move, MoveState::kDone);
  EXPECT_TRUE((*source.OpenSnapshot())->OpenMailboxMovesAfter(0, 10)->empty());
  EXPECT_EQ((*source.OpenSnapshot())->MailboxMovesById({move->id})->front().state, MoveState::kDone);
}

TEST_F(MailboxMoves, OnlyHostsOfTheNewPoolReport) {
  const auto move = Begin(alice_);
  ASSERT_TRUE(move.ok());
  MailboxMoveRepository moves(*pool_);
  EXPECT_EQ(ReasonOf(moves.RecordProgress(move->id, "store1", 1, 2, "").status()), "MOVE_OF_OTHERS");
  EXPECT_EQ(ReasonOf(moves.RecordProgress(move->id + 1, "store2", 1, 2, "").status()), "MOVE_UNKNOWN");
  const int64_t revision = Count("SELECT value FROM prov.revision");
  ASSERT_TRUE(moves.RecordProgress(move->id, "store2", 5, 9, "store1 does not answer").ok());
  const auto now = moves.Get(move->id);
  EXPECT_EQ(now->octets_copied, 5);
  EXPECT_EQ(now->octets_total, 9);
  EXPECT_EQ(now->error, "store1 does not answer");
  EXPECT_EQ(Count("SELECT value FROM prov.revision"), revision) << "progress is no change that others follow";
  SetState(*move, MoveState::kCancelled);
  ASSERT_TRUE(moves.RecordProgress(move->id, "store2", 9, 9, "late").ok());
  EXPECT_EQ(moves.Get(move->id)->error, "") << "one at its end stays as it ended";
}

TEST_F(MailboxMoves, ListIsNewestFirstInPages) {
  const auto first = Begin(alice_);
  const auto second = Begin(Add("bob@example.net"));
  const auto third = Begin(Add("carol@example.net"));
  SetState(*second, MoveState::kCancelled);
  MailboxMoveRepository moves(*pool_);
  const auto page = moves.List(0, /*open_only=*/false, 2);
  ASSERT_EQ(page->size(), 2u);
  EXPECT_EQ(page->front().id, third->id);
  EXPECT_EQ(moves.List(page->back().id, /*open_only=*/false, 2)->front().id, first->id);
  ASSERT_EQ(moves.List(0, /*open_only=*/true, 10)->size(), 2u);
  EXPECT_EQ(moves.List(0, /*open_only=*/true, 10)->back().id, first->id);
}

TEST_F(MailboxMoves, PoolsKnowHowManyMailboxesTheyHold) {
  Add("bob@example.net");
  EXPECT_EQ(MailboxesOf("main"), 2);
  const auto move = Begin(alice_);
  SetState(*move, MoveState::kSwitching);
  EXPECT_EQ(MailboxesOf("main"), 1);
  EXPECT_EQ(MailboxesOf("second"), 1);
  model::Subscriber alice = Alice();
  for (const model::State state : {model::State::kClosed, model::State::kPurged}) {
    alice.state = state;
    ASSERT_TRUE(
        Write([&](WriteTransaction& write) { return Done(SubscriberRepository::Save(write, alice)); }).ok());
    EXPECT_EQ(MailboxesOf("second"), state == model::State::kClosed ? 1 : 0);
  }
  Sql("INSERT INTO prov.subscriber (login, domain, mail, ftp, web, store_pool, credential_version, revision) "
      "SELECT 'many' || n || '@example.net', 'example.net', true, false, false, 'main', 1, 1 FROM "
      "generate_series(1, 500) n");
  EXPECT_EQ(MailboxesOf("main"), 501);
  PostgresSnapshotSource source(*pool_);
  EXPECT_EQ((*source.OpenSnapshot())->Pools()->front().mailboxes, 501);
}

}  // namespace
}  // namespace prov::store
