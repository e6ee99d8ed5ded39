// The prov-agent program, following a provd that somebody has taken over.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>

#include "agents/state/test_records.h"
#include "agents/sync/scripted_provd.h"
#include "common/file.h"
#include "server/enrol/authority.h"

namespace prov {
namespace {

namespace fs = std::filesystem;
using state::AccountRecord;
using state::BatchOf;
using state::MailboxRecord;
using sync::ScriptedProvd;
using sync::ServerStream;

constexpr size_t kMostOctets = 1 << 20;
constexpr int kMailboxes = 100;

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline =
      std::chrono::steady_clock::now() +
      std::chrono::minutes(3);  // what is held is held for one before the stream is begun anew
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 10);
  }
  return true;
}

bool Tells(const v1::Progress& progress, std::string_view key) {
  return std::any_of(progress.failing().begin(), progress.failing().end(),
                     [&](const auto& item) { return item.key() == key; });
}

class HostileProvd : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"mail", "root", "homes"}) fs::create_directory(Path(name));
    ASSERT_TRUE(enrol::Authority::Create(Path("ca")).ok());
    agent_ = Issue("prov://agent/h1", {});
    provd_ = Issue("prov://provd/a", {"127.0.0.1"});
  }
  void TearDown() override {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }

  TlsFiles Issue(const std::string& identity, const std::vector<std::string>& addresses) {
    const auto issued =
        enrol::Authority::Load(Path("ca"))->Issue({.identity = identity, .ip_addresses = addresses});
    const std::string base = Path(fmt::format("certificate{}", ++certificates_));
    std::ofstream(base + ".pem") << issued.value().certificate_pem;
    std::ofstream(base + ".key") << issued->key_pem;
    return {.ca = Path("ca/ca.pem"), .certificate = base + ".pem", .key = base + ".key"};
  }

  void Start(const std::string& provd, const std::string& roles) {
    std::ofstream(Path("agent.toml")) << fmt::format(R"(host = "h1"
provd = ["{}"]
roles = [{}]
state_directory = "state"
[tls]
ca = "{}"
certificate = "{}"
key = "{}"
[accounts]
root = "root"
[store]
maildir_root = "mail"
[ftp]
home_root = "homes"
)",
                                                     provd, roles, agent_.ca, agent_.certificate, agent_.key);
    std::string program = "prov-agent", option = "--config", config = Path("agent.toml");
    char* arguments[] = {program.data(), option.data(), config.data(), nullptr};
    ASSERT_EQ(posix_spawn(&pid_, "agents/prov-agent", nullptr, nullptr, arguments, environ), 0);
  }
  bool Runs() const { return waitpid(pid_, nullptr, WNOHANG) == 0; }

  // Directories below the hashed ones.
  std::vector<std::string> Made(const std::string& top) const {
    std::vector<std::string> names;
    for (auto it = fs::recursive_directory_iterator(Path(top)); it != fs::recursive_directory_iterator();
         ++it) {
      if (it.depth() == 2) names.push_back(it->path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  static std::vector<v1::Record> Mailboxes() {
    std::vector<v1::Record> records;
    for (int id = 1; id <= kMailboxes; ++id) records.push_back(MailboxRecord(id, 1));
    return records;
  }

  state::TestDirectory directory_;
  int certificates_ = 0;
  TlsFiles agent_, provd_;
  pid_t pid_ = 0;
};

TEST_F(HostileProvd, NamesPathsOrUsersOfItsOwnAndGetsNothingButWhatIsGood) {
  std::ofstream(Path("passwd")) << "untouched";
  fs::create_directory(Path("root/etc"));
  std::ofstream(Path("root/etc/passwd"))
      << "root:x:0:0::/root:/bin/sh\nmary:x:20007:20007::/home/mary:/bin/sh\n";
  std::atomic<bool> told{false};
  ScriptedProvd provd(provd_, {[&](ServerStream& stream, const v1::Hello&) {
                        std::vector<v1::Record> records = {AccountRecord(1, 1, 20001)};
                        for (const char* home : {"..", "../../passwd", "", "a/b"}) {
                          records.push_back(AccountRecord(static_cast<int>(records.size()) + 1, 1, 20000));
                          records.back().mutable_account()->set_home_id(home);
                        }
                        for (const uint32_t uid : {0U, 1U, 999U, 20007U, 0xffffffffU}) {
                          const int id = static_cast<int>(records.size()) + 1;
                          records.push_back(AccountRecord(id, 1, uid));
                        }
                        for (const std::string& login :
                             {std::string("root"), std::string("mary"), std::string("x\nroot@example.net"),
                              std::string("x\0y@example.net", 15)}) {
                          records.push_back(AccountRecord(static_cast<int>(records.size()) + 1, 1, 20100));
                          records.back().mutable_account()->set_login(login);
                        }
                        records.push_back(AccountRecord(static_cast<int>(records.size()) + 1, 1, 20200));
                        records.back().mutable_account()->set_display_name("x\nroot2::0:0::/:/bin/sh");
                        sync::SendSnapshot(stream, records, 10);
                        told = sync::ReadUntil(stream, [&](const v1::Progress& progress) {
                          return progress.applied_revision() == 10 &&
                                 progress.failing_items() == records.size() - 1;
                        });
                        sync::ReadToTheEnd(stream);
                        return grpc::Status::OK;
                      }});
  Start(provd.address(), R"("ftp")");
  EXPECT_TRUE(Eventually([&] { return told.load(); }));
  EXPECT_TRUE(Runs());
  const std::string passwd = ReadFile(Path("root/etc/passwd.cache"), kMostOctets).value_or("");
  EXPECT_EQ(std::count(passwd.begin(), passwd.end(), '\n'), 1) << passwd;
  EXPECT_TRUE(passwd.starts_with("user1@example.net:*:20001:20001:")) << passwd;
  EXPECT_EQ(ReadFile(Path("passwd"), kMostOctets).value_or(""), "untouched");
}

TEST_F(HostileProvd, WouldDeleteEverythingAndIsHeldUntilSomebodySaysSo) {
  std::atomic<int> held{0};
  const auto wait_until_held = [&](ServerStream& stream) {
    sync::ReadUntil(stream, [&](const v1::Progress& progress) { return Tells(progress, "removals"); });
    ++held;
  };
  ScriptedProvd provd(provd_, {[&](ServerStream& stream, const v1::Hello&) {
                                 sync::SendSnapshot(stream, Mailboxes(), 10);
                                 sync::ReadUntil(stream, [](const auto& progress) {
                                   return progress.applied_revision() == 10;
                                 });
                                 sync::SendSnapshot(stream, {}, 20);
                                 wait_until_held(stream);
                                 return grpc::Status::OK;
                               },
                               // The clock of revisions goes backwards, and nonsense comes in between.
                               [&](ServerStream& stream, const v1::Hello& hello) {
                                 EXPECT_EQ(hello.cursor_revision(), 10u);
                                 sync::Send(stream, BatchOf(3, {MailboxRecord(1, 1)}), 1);
                                 v1::SyncResponse end;
                                 end.mutable_snapshot_end()->set_revision(5);
                                 stream.Write(end);
                                 sync::ReadToTheEnd(stream);
                                 return grpc::Status::OK;
                               },
                               [&](ServerStream& stream, const v1::Hello& hello) {
                                 EXPECT_EQ(hello.cursor_revision(), 10u);
                                 ++held;
                                 sync::ReadToTheEnd(stream);
                                 return grpc::Status::OK;
                               }});
  Start(provd.address(), R"("store")");
  EXPECT_TRUE(Eventually([&] { return held == 2; })) << held;
  EXPECT_TRUE(Runs());
  EXPECT_EQ(Made("mail").size(), static_cast<size_t>(kMailboxes));
}

// More than a message may hold: the stream ends, the agent does not, and the next one is heard.
TEST_F(HostileProvd, SendsMoreThanAnybodyWantsAndIsOutlived) {
  std::atomic<bool> followed{false};
  ScriptedProvd provd(provd_, {[&](ServerStream& stream, const v1::Hello&) {
                                 v1::Record record = MailboxRecord(1, 1);
                                 for (int i = 0; i < 1'000'000; ++i)
                                   record.mutable_mailbox()->add_addresses("someone@example.net");
                                 sync::Send(stream, BatchOf(5, {record}), 1);
                                 sync::ReadToTheEnd(stream);
                                 return grpc::Status::OK;
                               },
                               [&](ServerStream& stream, const v1::Hello& hello) {
                                 EXPECT_EQ(hello.cursor_revision(), 0u);
                                 sync::SendSnapshot(stream, {MailboxRecord(1, 1)}, 10);
                                 followed = sync::ReadUntil(stream, [](const auto& progress) {
                                   return progress.applied_revision() == 10;
                                 });
                                 sync::ReadToTheEnd(stream);
                                 return grpc::Status::OK;
                               }});
  Start(provd.address(), R"("store")");
  EXPECT_TRUE(Eventually([&] { return followed.load(); }));
  EXPECT_TRUE(Runs());
}

}  // namespace
}  // namespace prov
