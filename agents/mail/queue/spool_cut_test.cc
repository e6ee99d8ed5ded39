// A power cut may leave a file at any length: each is tried.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "agents/mail/queue/shared_sync.h"
#include "agents/mail/queue/spool.h"
#include "agents/mail/queue/testing/test_spool.h"

namespace prov::queue {
namespace {

TEST(SpoolCut, AFileCutAnywhereIsEitherTheMessageOrNothing) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  // Content that looks like what follows it.
  const StoredMessage stored = Store(*spool, TestEnvelope("s@x.example", {"a@y.example", "b@y.example"}),
                                     "Subject: x\r\n\r\nend abc\ndone 0 0 x\r\n");
  const std::string id = stored.envelope.id;
  const std::string path = directory.path() + "/active/" + id;
  const size_t end_mark = std::filesystem::file_size(path);
  ASSERT_TRUE(spool->Record(id, {State::kDelivered, Time(), Time(), {0}, "250 ok"}, true).ok());
  std::ostringstream whole;
  whole << std::ifstream(path, std::ios::binary).rdbuf();
  const std::string octets = whole.str();
  for (size_t cut = 0; cut <= octets.size(); ++cut) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << octets.substr(0, cut);
    const auto messages = ScanAll(*spool);
    ASSERT_TRUE(messages.ok()) << messages.status();
    ASSERT_EQ(messages->size(), cut >= end_mark ? 1u : 0u) << cut;
    if (cut < end_mark) continue;
    const State expected = cut == octets.size() ? State::kDelivered : State::kPending;
    EXPECT_EQ(messages->front().envelope.recipients[0].state, expected) << cut;
    // The half line is gone, so that the next entry is a line of its own.
    ASSERT_TRUE(spool->Record(id, {State::kFailed, Time(), Time(), {1}, "550 no"}, true).ok());
    EXPECT_EQ(ScanAll(*spool)->front().envelope.recipients[1].state, State::kFailed) << cut;
  }
}

TEST(SpoolCut, OneEngineAtATime) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  const pid_t child = fork();
  if (child == 0) {
    alarm(1);  // it waits for the one before it to end; longer than we care to
    _exit(Spool::Open(directory.path()).ok() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the second one got in";
}

TEST(SharedSync, AFailureIsToldToAllWhoWaited) {
  SharedSync sync("/nonexistent/directory");
  EXPECT_FALSE(sync.Sync().ok());
  EXPECT_FALSE(sync.Sync().ok());
}

}  // namespace
}  // namespace prov::queue
