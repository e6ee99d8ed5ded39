#include "agents/mail/queue/spool.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <thread>

#include "agents/mail/queue/testing/test_spool.h"

namespace prov::queue {
namespace {

const std::string kText = "Subject: x\r\n\r\n.dot\r\n\xff\r\n";

TEST(Spool, AcceptedMailComesBackUnaltered) {
  TestQueueDirectory directory;
  std::string large = kText;
  while (large.size() < 300'000) large += "0123456789abcdef\r\n";
  std::map<std::string, std::string> accepted;
  {
    const auto spool = OpenSpool(directory.path());
    for (const std::string& text : {kText, large, std::string()}) {
      const StoredMessage stored = Store(*spool, TestEnvelope("a@b.c", {"x@y.z"}), text);
      accepted[stored.envelope.id] = text;
      EXPECT_EQ(ContentOf(*spool, stored), text);
    }
  }
  const auto spool = OpenSpool(directory.path());
  const auto messages = ScanAll(*spool);
  ASSERT_TRUE(messages.ok()) << messages.status();
  ASSERT_EQ(messages->size(), accepted.size());
  for (const StoredMessage& message : *messages) {
    EXPECT_EQ(ContentOf(*spool, message), accepted.at(message.envelope.id));
    EXPECT_EQ(message.envelope.sender, "a@b.c");
    EXPECT_EQ(message.envelope.recipients[0].state, State::kPending);
  }
}

TEST(Spool, UncommittedMailLeavesNothing) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  {
    auto writer = spool->Begin(TestEnvelope("a@b.c", {"x@y.z"}));
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->Append(kText).ok());
  }
  EXPECT_TRUE(directory.Files("incoming").empty());
  EXPECT_TRUE(directory.Files("active").empty());
}

TEST(Spool, TornFilesAreNeverAccepted) {
  TestQueueDirectory directory;
  std::string id;
  {
    const auto spool = OpenSpool(directory.path());
    id = Store(*spool, TestEnvelope("a@b.c", {"x@y.z"}), kText).envelope.id;
  }
  std::filesystem::resize_file(directory.path() + "/active/" + id,
                               std::filesystem::file_size(directory.path() + "/active/" + id) - 3);
  std::ofstream(directory.path() + "/incoming/leftover") << "half";
  const auto spool = OpenSpool(directory.path());
  EXPECT_TRUE(directory.Files("incoming").empty());
  const auto messages = ScanAll(*spool);
  ASSERT_TRUE(messages.ok()) << messages.status();
  EXPECT_TRUE(messages->empty());
  EXPECT_EQ(directory.Files("dead"), std::vector<std::string>{id + ".torn"});
}

// Forged mail makes notifications that nobody takes: they must not fill the disk. A torn file may be worth
// more.
TEST(Spool, OfTheDeadTheNewestAreKeptAndAllThatIsTorn) {
  TestQueueDirectory directory;
  std::string last;
  {
    const auto spool = OpenSpool(directory.path());
    std::ofstream(directory.path() + "/dead/0000000000001111111111.torn") << "half";
    for (size_t i = 0; i < kMostDead - 1; ++i)
      std::ofstream(directory.path() + fmt::format("/dead/{:012x}0123456789", i)) << "old";
  }
  const auto spool = OpenSpool(directory.path());
  for (int i = 0; i < 3; ++i) {
    last = Store(*spool, TestEnvelope("", {"x@y.z"}), kText).envelope.id;
    ASSERT_TRUE(spool->Bury(last).ok());
  }
  const auto dead = directory.Files("dead");
  EXPECT_EQ(dead.size(), kMostDead + 1);
  const auto is_there = [&](const std::string& name) {
    return std::find(dead.begin(), dead.end(), name) != dead.end();
  };
  EXPECT_TRUE(is_there(last));
  EXPECT_TRUE(is_there("0000000000001111111111.torn"));
  EXPECT_FALSE(is_there(fmt::format("{:012x}0123456789", 1)));
  EXPECT_TRUE(is_there(fmt::format("{:012x}0123456789", 2)));
}

// I4: what cannot be read now holds up nobody else, and stays where it is.
TEST(Spool, AFileThatCannotBeReadStopsNoOthers) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  const std::string id = Store(*spool, TestEnvelope("a@b.c", {"x@y.z"}), kText).envelope.id;
  std::filesystem::create_directory(directory.path() + "/active/0000000000000000000000");
  std::filesystem::create_symlink("/etc/passwd", directory.path() + "/active/0000000000000000000001");
  const auto messages = ScanAll(*spool);
  ASSERT_TRUE(messages.ok()) << messages.status();
  ASSERT_EQ(messages->size(), 1u);
  EXPECT_EQ(messages->front().envelope.id, id);
  EXPECT_EQ(directory.Files("active").size(), 3u);
}

TEST(Spool, WhatWasDeliveredStaysDelivered) {
  TestQueueDirectory directory;
  std::string id;
  {
    const auto spool = OpenSpool(directory.path());
    id = Store(*spool, TestEnvelope("a@b.c", {"x@y.z", "u@v.w"}), kText).envelope.id;
    ASSERT_TRUE(spool->Record(id, {State::kDelivered, Time(), Time(), {1}, "250 ok"}, true).ok());
  }
  std::ofstream(directory.path() + "/active/" + id, std::ios::app) << "fail 17";  // torn
  for (int round = 0; round < 2; ++round) {
    const auto spool = OpenSpool(directory.path());
    const auto messages = ScanAll(*spool);
    ASSERT_TRUE(messages.ok());
    ASSERT_EQ(messages->size(), 1u);
    const auto& recipients = messages->front().envelope.recipients;
    EXPECT_EQ(recipients[1].state, State::kDelivered);
    EXPECT_EQ(recipients[0].state, State::kPending);
    EXPECT_EQ(recipients[0].attempts, static_cast<uint32_t>(round));
    // Written behind the torn line, and read all the same.
    ASSERT_TRUE(spool->Record(id, {State::kPending, Time(), Time(), {0}, "451 x"}, false).ok());
  }
}

TEST(Spool, RefusesNamesThatArePathsAndEmptyEnvelopes) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  Envelope envelope = TestEnvelope("a@b.c", {"x@y.z"});
  envelope.id = "../x";
  EXPECT_TRUE(absl::IsInvalidArgument(spool->Begin(envelope).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(spool->Begin(TestEnvelope("a@b.c", {})).status()));
}

TEST(Spool, SaysWhenThereIsNoRoom) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  EXPECT_TRUE(spool->CheckRoom(1).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(spool->CheckRoom(UINT64_MAX)));
}

TEST(Spool, ConcurrentCommitsAllLand) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) Store(*spool, TestEnvelope("a@b.c", {"x@y.z"}), kText);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ScanAll(*spool)->size(), 160u);
}

// The child: accepts mail in several threads and names each that is accepted, until it is killed.
[[noreturn]] void AcceptUntilKilled(const std::string& directory, int out) {
  const auto spool = OpenSpool(directory);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (;;) {
        const Envelope envelope = TestEnvelope("a@b.c", {"x@y.z"});
        const std::string text =
            fmt::format("Subject: {}\r\n\r\n{}\r\n", envelope.id, std::string(9000, 'x'));
        const std::string line = Store(*spool, envelope, text).envelope.id + "\n";
        if (write(out, line.data(), line.size()) != static_cast<ssize_t>(line.size())) _exit(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  _exit(1);
}

TEST(Spool, AcceptedMailSurvivesKill) {
  TestQueueDirectory directory;
  std::vector<std::string> accepted;
  for (int round = 0; round < 8; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) AcceptUntilKilled(directory.path(), ends[1]);
    close(ends[1]);
    FILE* lines = fdopen(ends[0], "r");
    char line[128];
    // The kill comes after a number of acceptances that differs each time, in the midst of others.
    for (int n = 0; n < 5 + 7 * round && fgets(line, sizeof line, lines); ++n) {
      accepted.push_back(std::string(line, strlen(line) - 1));
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (fgets(line, sizeof line, lines)) accepted.push_back(std::string(line, strlen(line) - 1));
    fclose(lines);
  }
  ASSERT_GT(accepted.size(), 100u);
  const auto spool = OpenSpool(directory.path());
  const auto messages = ScanAll(*spool);
  ASSERT_TRUE(messages.ok()) << messages.status();
  std::map<std::string, const StoredMessage*> found;
  for (const StoredMessage& message : *messages) found[message.envelope.id] = &message;
  for (const std::string& id : accepted) {
    ASSERT_TRUE(found.contains(id)) << id;
    EXPECT_TRUE(ContentOf(*spool, *found[id]).starts_with(fmt::format("Subject: {}\r\n\r\nxxx", id)));
  }
  EXPECT_TRUE(directory.Files("dead").empty());
}

}  // namespace
}  // namespace prov::queue
