// The agent's side of the stream, against a real gRPC server with mutual TLS that plays a provd from a
// script.
#include "agents/sync/role_sync.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <fstream>
#include <functional>

#include "agents/drivers/maildirs.h"
#include "agents/mail/maildir/layout.h"
#include "agents/state/reader.h"
#include "agents/state/test_records.h"
#include "agents/sync/scripted_provd.h"
#include "common/status.h"
#include "server/enrol/authority.h"

namespace prov::sync {
namespace {

using state::BatchOf;
using state::MailboxRecord;
using state::TestDirectory;
using std::chrono::milliseconds;
using std::chrono::seconds;

template <typename Condition>
bool Eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 5);
  }
  return true;
}

class Following : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(enrol::Authority::Create(Path("ca")).ok());
    provd_ = Issue("prov://provd/a", {"127.0.0.1"});
    agent_ = Issue("prov://agent/store1", {});
    state_ = state::StateWriter::Open(Made("state")).value();
    reader_ = state::StateReader::Open(Path("state")).value();
    driver_ = drivers::MakeMaildirDriver({.root = Made("mail")});
  }
  void TearDown() override { sync_.reset(); }

  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }
  std::string Made(const std::string& name) const {
    std::filesystem::create_directories(Path(name));
    return Path(name);
  }

  TlsFiles Issue(const std::string& identity, const std::vector<std::string>& addresses) {
    const auto issued =
        enrol::Authority::Load(Path("ca"))->Issue({.identity = identity, .ip_addresses = addresses});
    const std::string base = Path(fmt::format("certificate{}", ++certificates_));
    std::ofstream(base + ".pem") << issued.value().certificate_pem;
    std::ofstream(base + ".key") << issued->key_pem;
    return {.ca = Path("ca") + "/ca.pem", .certificate = base + ".pem", .key = base + ".key"};
  }

  void Start(std::vector<std::string> addresses, milliseconds silence = seconds(20)) {
    RoleSyncOptions options;
    options.session.role = v1::STORE;
    options.session.allowed_removals = [this] { return allowed_.load(); };
    options.provd = std::move(addresses);
    options.tls = agent_;
    options.reconnect = {.first = milliseconds(20), .longest = milliseconds(200)};
    options.longest_silence = silence;
    auto sync = RoleSync::Start(std::move(options), {driver_.get()}, *state_, SystemClock());
    ASSERT_TRUE(sync.ok()) << sync.status();
    sync_ = std::move(*sync);
  }

  bool HasMailbox(int id) {
    return maildir::InspectMailbox(Path("mail"), fmt::format("box-{}", id)).value().empty();
  }
  uint64_t Received() { return state_->GetFreshness(v1::STORE)->received_revision; }
  uint64_t Applied() { return state_->GetFreshness(v1::STORE)->applied_revision; }

  TestDirectory directory_;
  int certificates_ = 0;
  TlsFiles provd_, agent_;
  std::atomic<uint64_t> allowed_{0};
  std::unique_ptr<state::StateWriter> state_;
  std::unique_ptr<state::StateReader> reader_;
  std::unique_ptr<drivers::Driver> driver_;
  std::unique_ptr<RoleSync> sync_;
};

TEST_F(Following, SnapshotThenDeltaAreAcknowledgedAndTakeEffect) {
  std::atomic<bool> snapshot_applied{false}, delta_applied{false};
  ScriptedProvd provd(provd_, {[&](ServerStream& stream, const v1::Hello&) {
                        SendSnapshot(stream, {MailboxRecord(1, 3), MailboxRecord(2, 4)}, 10);
                        snapshot_applied = ReadUntil(stream, [&](const v1::Progress& progress) {
                          // What is acknowledged is durable already.
                          EXPECT_TRUE(progress.nonce() != 2 || Received() >= 10);
                          EXPECT_TRUE(progress.applied_revision() != 10 || (HasMailbox(1) && HasMailbox(2)));
                          return progress.nonce() == 2 && progress.applied_revision() == 10;
                        });
                        Send(stream, BatchOf(11, {MailboxRecord(3, 11)}, {"subscribers/1"}), 3);
                        delta_applied = ReadUntil(stream, [&](const v1::Progress& progress) {
                          return progress.nonce() == 3 && progress.applied_revision() == 11;
                        });
                        ReadToTheEnd(stream);
                        return grpc::Status::OK;
                      }});
  Start({provd.address()});
  EXPECT_TRUE(Eventually([&] { return delta_applied.load(); }));
  EXPECT_TRUE(snapshot_applied);
  EXPECT_FALSE(HasMailbox(1));
  EXPECT_TRUE(HasMailbox(3));
  EXPECT_TRUE(sync_->connected());
  EXPECT_EQ(provd.identities.at(0), "store1");
  EXPECT_EQ(provd.HelloOf(0).cursor_revision(), 0u);
}

TEST_F(Following, BrokenStreamsAndAbsentProvdsAreTriedAgainFromTheCursor) {
  const auto broken_off = [&](ServerStream& stream, const v1::Hello&) {
    v1::SyncResponse begin;
    begin.mutable_snapshot_begin()->set_revision(9);
    stream.Write(begin);
    Send(stream, BatchOf(0, {MailboxRecord(1, 3)}), 1);
    return grpc::Status(grpc::UNAVAILABLE, "provd was killed");
  };
  const auto whole = [&](ServerStream& stream, const v1::Hello&) {
    SendSnapshot(stream, {MailboxRecord(1, 3)}, 9);
    ReadUntil(stream, [](const v1::Progress& progress) { return progress.applied_revision() == 9; });
    return grpc::Status::OK;
  };
  const auto delta = [&](ServerStream& stream, const v1::Hello&) {
    Send(stream, BatchOf(12, {MailboxRecord(2, 12)}), 1);
    ReadToTheEnd(stream);
    return grpc::Status::OK;
  };
  ScriptedProvd provd(provd_, {broken_off, whole, delta});
  Start({"127.0.0.1:1", provd.address(), "localhost.invalid:1"});
  EXPECT_TRUE(Eventually([&] { return Applied() == 12; }));
  EXPECT_EQ(provd.HelloOf(1).cursor_revision(), 0u);  // the first snapshot had no end
  EXPECT_EQ(provd.HelloOf(2).cursor_revision(), 9u);
  EXPECT_TRUE(HasMailbox(2));
}

TEST_F(Following, SilentStreamIsBegunAnew) {
  std::atomic<bool> second{false};
  const auto silent = [&](ServerStream& stream, const v1::Hello&) {
    ReadToTheEnd(stream);
    return grpc::Status::OK;
  };
  const auto talking = [&](ServerStream& stream, const v1::Hello&) {
    second = true;
    ReadToTheEnd(stream);
    return grpc::Status::OK;
  };
  ScriptedProvd provd(provd_, {silent, talking});
  Start({provd.address()}, milliseconds(300));
  EXPECT_TRUE(Eventually([&] {
    sync_->CheckSilence();
    return second.load();
  }));
}

TEST_F(Following, OnlyAProvdIsListenedTo) {
  // A certificate of the same CA, for the right address, but not a provd's.
  const TlsFiles impostor = Issue("prov://agent/relay1", {"127.0.0.1"});
  ScriptedProvd provd(impostor, {[&](ServerStream& stream, const v1::Hello&) {
                        SendSnapshot(stream, {MailboxRecord(1, 3)}, 10);
                        ReadToTheEnd(stream);
                        return grpc::Status::OK;
                      }});
  Start({provd.address()});
  EXPECT_TRUE(Eventually([&] { return provd.Streams() >= 3; }));
  EXPECT_EQ(Received(), 0u);
  EXPECT_FALSE(sync_->connected());
}

TEST_F(Following, AServerOfAnotherAddressIsNotTalkedTo) {
  const TlsFiles elsewhere = Issue("prov://provd/b", {"192.0.2.1"});
  ScriptedProvd wrong(elsewhere, {[](ServerStream& stream, const v1::Hello&) { return grpc::Status::OK; }});
  ScriptedProvd right(provd_, {[](ServerStream& stream, const v1::Hello&) {
                        ReadToTheEnd(stream);
                        return grpc::Status::OK;
                      }});
  Start({wrong.address(), right.address()});
  EXPECT_TRUE(Eventually([&] { return right.Streams() > 0; }));
  EXPECT_EQ(wrong.Streams(), 0u);
}

TEST_F(Following, HeldRemovalsAreToldAndGoOnWhenAllowed) {
  std::vector<v1::Record> records;
  for (int id = 1; id <= 40; ++id) records.push_back(MailboxRecord(id, 1));
  std::vector<std::string> removed;
  for (int id = 1; id <= 20; ++id) removed.push_back(fmt::format("subscribers/{}", id));
  std::atomic<bool> told{false}, done{false};
  ScriptedProvd provd(
      provd_, {[&](ServerStream& stream, const v1::Hello&) {
        SendSnapshot(stream, records, 5);
        ReadUntil(stream, [](const v1::Progress& progress) { return progress.applied_revision() == 5; });
        Send(stream, BatchOf(6, {}, removed), 3);
        told = ReadUntil(stream, [](const v1::Progress& progress) {
          return progress.failing_items() == 1 && progress.failing(0).key() == kHeldItem;
        });
        done =
            ReadUntil(stream, [](const v1::Progress& progress) { return progress.applied_revision() == 6; });
        ReadToTheEnd(stream);
        return grpc::Status::OK;
      }});
  Start({provd.address()});
  EXPECT_TRUE(Eventually([&] { return told.load(); }));
  EXPECT_TRUE(HasMailbox(1));
  EXPECT_EQ(Received(), 5u);
  allowed_ = 20;
  EXPECT_TRUE(Eventually([&] { return done.load(); }));
  EXPECT_FALSE(HasMailbox(1));
  EXPECT_TRUE(HasMailbox(21));
}

TEST_F(Following, DriversWorkWithoutProvdAndDriftIsMended) {
  ASSERT_TRUE(state_->ApplyBatch(v1::STORE, BatchOf(3, {MailboxRecord(1, 3), MailboxRecord(2, 3)})).ok());
  Start({"127.0.0.1:1"});
  EXPECT_TRUE(Eventually([&] { return Applied() == 3; }));
  EXPECT_TRUE(HasMailbox(1));
  // Somebody removes a maildir; the next start inspects and makes it again.
  sync_.reset();
  ASSERT_TRUE(maildir::RemoveMailbox(Path("mail"), "box-2").ok());
  Start({"127.0.0.1:1"});
  EXPECT_TRUE(Eventually([&] { return HasMailbox(2); }));
}

}  // namespace
}  // namespace prov::sync
