// Who may fetch a mailbox from another pool, in real gRPC with mutual TLS.
#include "agents/moves/transfer_service.h"

#include <gtest/gtest.h>

#include <fstream>

#include "agents/mail/maildir/delivery.h"
#include "agents/mail/maildir/layout.h"
#include "agents/moves/transfer_source.h"
#include "agents/state/test_records.h"
#include "agents/state/writer.h"
#include "common/file.h"
#include "common/grpc_port.h"
#include "server/enrol/authority.h"

namespace prov::moves {
namespace {

using state::BatchOf;
using state::TestDirectory;

v1::Record PoolRecord(const std::string& name, const std::string& host, const std::string& endpoint) {
  v1::Record record;
  record.set_key("pools/" + name);
  record.set_revision(1);
  record.mutable_pool()->set_pool(name);
  v1::PoolMembers::Member* member = record.mutable_pool()->add_members();
  member->set_host(host);
  if (!endpoint.empty()) (*member->mutable_endpoints())["transfer"] = endpoint;
  return record;
}

class TransferServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(enrol::Authority::Create(tls_.path() + "/ca").ok());
    writer_ = *state::StateWriter::Open(state_.path());
    reader_ = *state::StateReader::Open(state_.path());
    auto server = GrpcPort::Open(
        {.listen = "127.0.0.1:0", .tls = Certificate("prov://agent/store1"), .name = "transfer"},
        std::make_unique<TransferService>(*reader_, root_.path(), std::optional<drivers::FileOwner>()));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    View(/*switching=*/false);
    auto delivery = *maildir::Delivery::Begin(root_.path(), "box-1", {.host = "store1"});
    ASSERT_TRUE(delivery->Append("one\r\n").ok());
    ASSERT_TRUE(delivery->Commit().ok());
  }

  TlsFiles Certificate(const std::string& identity) {
    const std::string path = tls_.path() + "/" + std::to_string(++issued_);
    const auto issued = enrol::Authority::Load(tls_.path() + "/ca")
                            ->Issue({.identity = identity, .dns_names = {"localhost"}});
    EXPECT_TRUE(issued.ok()) << issued.status();
    EXPECT_TRUE(ReplaceFile(path + ".pem", issued->certificate_pem, 0644).ok());
    EXPECT_TRUE(ReplaceFile(path + ".key", issued->key_pem, 0600).ok());
    return {tls_.path() + "/ca/ca.pem", path + ".pem", path + ".key"};
  }

  std::string Endpoint() const { return "localhost:" + std::to_string(server_->port()); }

  // The old pool is main, with store1; the new one second, with store2; store3 is in neither.
  void View(bool switching) {
    v1::Record move;
    move.set_key("moves/17");
    move.set_revision(++revision_);
    move.mutable_mailbox_transit()->set_mailbox_id("box-1");
    move.mutable_mailbox_transit()->set_from_pool("main");
    move.mutable_mailbox_transit()->set_to_pool("second");
    move.mutable_mailbox_transit()->set_switching(switching);
    ASSERT_TRUE(writer_
                    ->ApplyBatch(v1::STORE, BatchOf(revision_, {PoolRecord("main", "store1", Endpoint()),
                                                                PoolRecord("second", "store2", ""), move}))
                    .ok());
  }

  absl::StatusOr<std::unique_ptr<TransferSource>> SourceAs(const std::string& identity,
                                                           const std::string& move = "moves/17",
                                                           const std::string& server = "store1") {
    const auto channel = DialPool(PoolRecord("main", server, Endpoint()).pool(), Certificate(identity));
    if (!channel.ok()) return channel.status();
    return SourceAt(*channel, move);
  }

  TestDirectory tls_, state_, root_;
  std::unique_ptr<state::StateWriter> writer_;
  std::unique_ptr<state::StateReader> reader_;
  std::unique_ptr<GrpcPort> server_;
  int issued_ = 0;
  uint64_t revision_ = 0;
};

TEST_F(TransferServiceTest, OnlyHostsOfTheNewPoolAreAnswered) {
  for (const std::string identity : {"prov://agent/store1", "prov://agent/store3", "prov://operator/store2",
                                     "prov://billing/store2", "prov://provd/store2"}) {
    const auto source = SourceAs(identity);
    ASSERT_TRUE(source.ok()) << source.status();
    EXPECT_EQ((*source)->List().status().code(), absl::StatusCode::kPermissionDenied) << identity;
    EXPECT_EQ((*source)->Hold().code(), absl::StatusCode::kPermissionDenied) << identity;
    EXPECT_EQ((*source)->Release({}).status().code(), absl::StatusCode::kPermissionDenied) << identity;
    EXPECT_EQ((*source)->Fetch({{false, "x", 1}}, {}).code(), absl::StatusCode::kPermissionDenied)
        << identity;
  }
  const auto source = SourceAs("prov://agent/store2");
  const auto list = (*source)->List();
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->size(), 1u);
}

TEST_F(TransferServiceTest, MailboxesThatDoNotMoveAreNotShown) {
  const auto source = SourceAs("prov://agent/store2", "moves/18");
  EXPECT_EQ((*source)->List().status().code(), absl::StatusCode::kNotFound);
  const auto odd = SourceAs("prov://agent/store2", "subscribers/1");
  EXPECT_FALSE((*odd)->List().ok());
}

// A host may hold and remove only once its own view says so: provd has decided, not the caller.
TEST_F(TransferServiceTest, NothingIsHeldOrRemovedBeforeTheSwitch) {
  const auto source = *SourceAs("prov://agent/store2");
  const auto list = *source->List();
  EXPECT_EQ(source->Hold().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(source->Release(list).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(source->List()->size(), 1u);
  View(/*switching=*/true);
  EXPECT_TRUE(source->Hold().ok());
  const auto gone = source->Release(list);
  ASSERT_TRUE(gone.ok()) << gone.status();
  EXPECT_TRUE(*gone);
}

TEST_F(TransferServiceTest, PiecesComeWholeAndInOrder) {
  std::string large(3 << 20, 'a');
  for (size_t i = 0; i < large.size(); i += 64) large[i] = '\n';
  std::ofstream(*maildir::MailboxPath(root_.path(), "box-1") + "/cur/2.large:2,S", std::ios::binary) << large;
  std::ofstream(*maildir::MailboxPath(root_.path(), "box-1") + "/cur/3.empty:2,S");
  const auto source = *SourceAs("prov://agent/store2");
  auto list = *source->List();
  ASSERT_EQ(list.size(), 3u);
  list.insert(list.begin() + 1, {true, "9.deleted:2,S", 4});
  std::map<std::string, std::string> got;
  std::string now;
  const absl::Status status = source->Fetch(list, {.begin =
                                                       [&](const maildir::MessageFile& file) {
                                                         now = file.name;
                                                         got[now];
                                                         return absl::OkStatus();
                                                       },
                                                   .append =
                                                       [&](std::string_view data) {
                                                         got[now] += data;
                                                         return absl::OkStatus();
                                                       },
                                                   .end = [] { return absl::OkStatus(); }});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(got.size(), 3u);
  EXPECT_EQ(got["2.large:2,S"], large);
  EXPECT_TRUE(got.contains("3.empty:2,S"));
  EXPECT_FALSE(got.contains("9.deleted:2,S"));
}

TEST_F(TransferServiceTest, ServerThatIsAnotherHostIsNotSpokenTo) {
  const auto source = SourceAs("prov://agent/store2", "moves/17", "store9");
  EXPECT_EQ(source.status().code(), absl::StatusCode::kUnavailable) << source.status();
}

TEST_F(TransferServiceTest, PoolWithoutTheServiceSaysWhatToSet) {
  const auto channel = DialPool(PoolRecord("main", "store1", "").pool(), Certificate("prov://agent/store2"));
  EXPECT_NE(channel.status().message().find("transfer_listen"), std::string::npos) << channel.status();
}

}  // namespace
}  // namespace prov::moves
