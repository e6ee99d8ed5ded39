// kill -9 of a server whose clients download and delete: nothing is lost that was not confirmed deleted, and
// nothing comes back that was.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agents/mail/maildir/mailbox.h"
#include "agents/mail/pop3/testing/test_service.h"

namespace prov::pop3 {
namespace {

constexpr int kFewRounds = 6;
constexpr size_t kMessages = 40;           // of each mailbox, before each round
constexpr int kMostCommands = 200;         // before a kill between two answers
constexpr useconds_t kLongestQuit = 1500;  // of a QUIT that removes and renames
const char* const kMailboxes[] = {"alice", "bob"};

// Two hundred for `./dev test soak`.
int Rounds() {
  const char* rounds = getenv("KILL_ROUNDS");
  return rounds == nullptr ? kFewRounds : atoi(rounds);
}

// With mail that expires, so that QUIT renames as well as it removes.
[[noreturn]] void ServeUntilKilled(const std::string& directory, int out) {
  TestService service(directory);
  AgentConfig::Engine::Pop3 config;
  config.expire = std::chrono::hours(24);
  const uint16_t port = service.StartServer({}, {}, PlanTerms(config));
  if (write(out, &port, sizeof port) != sizeof port) _exit(1);
  for (;;) pause();
}

std::string TextOf(size_t number) {
  return fmt::format("Subject: {}\r\n\r\n.{}\r\n{}\r\n", number, number, std::string(number % 5000, 'x'));
}

// -1 when nobody listens any more.
int DialIfThere(uint16_t port) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return connection;
  close(connection);
  return -1;
}

// What one mailbox must hold.
struct Ledger {
  std::map<std::string, std::string> texts;  // by UIDL: delivered, and not confirmed deleted
  std::set<std::string> undecided;           // QUIT was sent, and not answered
  std::set<std::string> deleted;             // confirmed
};

// Looks at the mailbox as the next reader finds it, and settles what was undecided.
void Check(const std::string& root, const std::string& mailbox, Ledger& ledger) {
  auto opened = maildir::Mailbox::Open(root, mailbox);
  ASSERT_TRUE(opened.ok()) << opened.status();
  std::set<std::string> found;
  for (size_t i = 0; i < (*opened)->messages().size(); ++i) {
    const std::string uidl((*opened)->messages()[i].uidl);
    EXPECT_TRUE(found.insert(uidl).second) << "twice: " << uidl;
    EXPECT_FALSE(ledger.deleted.contains(uidl)) << "came back: " << uidl;
    const auto reader = (*opened)->OpenMessage(i);
    ASSERT_TRUE(reader.ok()) << reader.status();
    const auto text = (*reader)->Read();
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(*text, ledger.texts[uidl]) << uidl;
  }
  for (auto entry = ledger.texts.begin(); entry != ledger.texts.end();) {
    const bool gone = !found.contains(entry->first);
    EXPECT_TRUE(!gone || ledger.undecided.contains(entry->first)) << "lost: " << entry->first;
    entry = gone ? ledger.texts.erase(entry) : std::next(entry);
  }
  ledger.undecided.clear();
}

class KilledServer : public testing::Test {
 protected:
  KilledServer() {
    char name[] = "/tmp/prov-kill-XXXXXX";
    directory_ = mkdtemp(name);
  }
  ~KilledServer() override { std::filesystem::remove_all(directory_); }

  void Fill(const std::string& mailbox) {
    const std::string root = directory_ + "/mail";
    for (Ledger& ledger = ledgers_[mailbox]; ledger.texts.size() < kMessages;) {
      const std::string text = TextOf(++delivered_);
      auto delivery = maildir::Delivery::Begin(root, mailbox, {.host = "store1"});
      ASSERT_TRUE(delivery.ok()) << delivery.status();
      ASSERT_TRUE((*delivery)->Append(text).ok());
      const auto name = (*delivery)->Commit();
      ASSERT_TRUE(name.ok()) << name.status();
      ledger.texts[*name] = text;
    }
  }

  // One session: downloads what there is, deletes some, and quits. Whether the server lived to confirm it.
  bool Session(uint16_t port, const std::string& mailbox, Ledger& ledger, std::mt19937& random) {
    const int connection = DialIfThere(port);
    if (connection < 0) return false;
    TestStream client(connection);
    client.Line();
    if (!Ask(client, "USER " + mailbox + "@example.net").starts_with("+OK")) return false;
    if (!Ask(client, "PASS right").starts_with("+OK")) return false;
    if (!Ask(client, "UIDL").starts_with("+OK")) return false;
    std::vector<std::string> uidls;
    for (std::string line; (line = client.Line()).ends_with("\r\n") && line != ".\r\n";)
      uidls.push_back(line.substr(line.find(' ') + 1, line.size() - line.find(' ') - 3));
    std::set<std::string> marked;
    for (size_t i = 0; i < uidls.size(); ++i) {
      if (!Ask(client, fmt::format("RETR {}", i + 1)).starts_with("+OK")) return false;
      const std::string text = client.UpToDot();
      if (text.ends_with("<end>")) return false;
      EXPECT_TRUE(text.ends_with("\r\n.\r\n"));
      if (random() % 4 == 0) continue;
      if (!Ask(client, fmt::format("DELE {}", i + 1)).starts_with("+OK")) return false;
      marked.insert(uidls[i]);
    }
    ledger.undecided.insert(marked.begin(), marked.end());
    ++quits_;
    if (Ask(client, "QUIT") != "+OK Bye\r\n") return false;
    for (const std::string& uidl : marked) {
      ledger.undecided.erase(uidl);
      ledger.texts.erase(uidl);
      ledger.deleted.insert(uidl);
    }
    ++confirmed_;
    return true;
  }

  // By turns somewhere in a session, and while a QUIT is under way.
  void WaitForTheMoment(int round) {
    const bool in_quit = round % 2 == 1;
    const int commands = commands_ + round * 7919 % kMostCommands, quits = quits_ + 1 + round % 3;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (in_quit ? quits_ < quits : commands_ < commands) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the clients get nowhere";
      usleep(50);
    }
    if (in_quit) usleep(static_cast<useconds_t>(round) * 7919 % kLongestQuit);
  }

  std::string Ask(TestStream& client, const std::string& line) {
    ++commands_;
    return client.Ask(line);
  }

  std::string directory_;
  std::map<std::string, Ledger> ledgers_;
  std::atomic<size_t> delivered_ = 0;
  std::atomic<int> confirmed_ = 0, commands_ = 0, quits_ = 0;
};

TEST_F(KilledServer, WhatWasNotConfirmedDeletedIsThereAndWhatWasIsGone) {
  std::filesystem::create_directory(directory_ + "/mail");
  for (int round = 0; round < Rounds(); ++round) {
    for (const char* mailbox : kMailboxes) ASSERT_NO_FATAL_FAILURE(Fill(mailbox));
    std::filesystem::remove_all(directory_ + "/state");  // it begins anew
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t server = fork();
    ASSERT_GE(server, 0);
    if (server == 0) ServeUntilKilled(directory_, ready[1]);
    close(ready[1]);
    uint16_t port = 0;
    ASSERT_EQ(read(ready[0], &port, sizeof port), static_cast<ssize_t>(sizeof port));
    close(ready[0]);
    std::vector<std::thread> clients;
    for (const char* mailbox : kMailboxes) {
      clients.emplace_back([this, port, mailbox, round, &ledger = ledgers_[mailbox]] {
        std::mt19937 random(static_cast<unsigned>(round));
        while (Session(port, mailbox, ledger, random)) Fill(mailbox);
      });
    }
    WaitForTheMoment(round);
    kill(server, SIGKILL);
    int ended = 0;
    waitpid(server, &ended, 0);
    ASSERT_TRUE(WIFSIGNALED(ended));
    for (std::thread& client : clients) client.join();
    for (const char* mailbox : kMailboxes) {
      ASSERT_NO_FATAL_FAILURE(Check(directory_ + "/mail", mailbox, ledgers_[mailbox])) << "round " << round;
    }
  }
  EXPECT_GT(confirmed_, 0);
  RecordProperty("sessions_confirmed", confirmed_);
  RecordProperty("quits_cut_off", quits_ - confirmed_);
}

}  // namespace
}  // namespace prov::pop3
