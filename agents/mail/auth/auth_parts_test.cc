// The parts below the authenticator, each by itself.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <thread>

#include "agents/mail/auth/credential_cache.h"
#include "agents/mail/auth/failure_delay.h"
#include "agents/mail/auth/testing/test_host.h"
#include "agents/mail/auth/worker_pool.h"
#include "agents/mail/auth/worker_process.h"
#include "agents/mail/auth/worker_protocol.h"

namespace prov::auth {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::steady_clock;

class HandClock : public Clock {
 public:
  std::chrono::system_clock::time_point Now() const override { return {}; }
  steady_clock::time_point Monotonic() const override { return now; }
  steady_clock::time_point now = steady_clock::now();
};

TEST(CredentialCache, KnowsOnlyTheVeryCredentials) {
  HandClock clock;
  CredentialCache cache(clock);
  cache.Add("pop3", "alice", "secret", 7);
  EXPECT_TRUE(cache.Contains("pop3", "alice", "secret", 7));
  EXPECT_FALSE(cache.Contains("smtp", "alice", "secret", 7));
  EXPECT_FALSE(cache.Contains("pop3", "alices", "ecret", 7));
  EXPECT_FALSE(cache.Contains("pop3", "alice", "Secret", 7));
}

TEST(CredentialCache, AnotherVersionForgetsForGood) {
  HandClock clock;
  CredentialCache cache(clock);
  cache.Add("pop3", "alice", "secret", 7);
  EXPECT_FALSE(cache.Contains("pop3", "alice", "secret", 8));
  EXPECT_FALSE(cache.Contains("pop3", "alice", "secret", 7));
}

TEST(CredentialCache, EntriesExpireAndAreBounded) {
  HandClock clock;
  CredentialCache cache(clock, {.max_entries = 3, .lifetime = minutes(10)});
  for (const char* login : {"a", "b", "c"}) cache.Add("pop3", login, "x", 1);
  EXPECT_TRUE(cache.Contains("pop3", "a", "x", 1));  // used lately
  cache.Add("pop3", "d", "x", 1);
  EXPECT_EQ(cache.size(), 3u);
  EXPECT_TRUE(cache.Contains("pop3", "a", "x", 1));
  EXPECT_FALSE(cache.Contains("pop3", "b", "x", 1));
  clock.now += minutes(10);
  EXPECT_FALSE(cache.Contains("pop3", "a", "x", 1));
}

// Sessions of one service run on several event loops.
TEST(CredentialCache, ManyThreadsShareIt) {
  CredentialCache cache(SystemClock(), {.max_entries = 50, .lifetime = minutes(10)});
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const std::string login = std::to_string(i % 70);
        cache.Add("pop3", login, "right", 1 + static_cast<uint64_t>(t % 2));
        if (cache.Contains("pop3", login, "wrong", 1)) ++wrong;
        if (cache.Contains("pop3", login, "right", 3)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(cache.size(), 50u);
}

TEST(FailureDelay, GrowsFromTwoToFifteenSecondsByNetwork) {
  HandClock clock;
  FailureDelay delay(clock);
  EXPECT_EQ(delay.AfterFailure("192.0.2.1"), seconds(2));
  EXPECT_EQ(delay.AfterFailure("192.0.2.1"), seconds(4));
  EXPECT_EQ(delay.AfterFailure("192.0.2.1"), seconds(8));
  EXPECT_EQ(delay.AfterFailure("192.0.2.1"), seconds(15));
  EXPECT_EQ(delay.AfterFailure("192.0.2.1"), seconds(15));
  EXPECT_EQ(delay.AfterFailure("192.0.2.2"), seconds(2));
  EXPECT_EQ(delay.AfterFailure("2001:db8:1::1"), seconds(2));
  EXPECT_EQ(delay.AfterFailure("2001:db8:1:ffff::2"), seconds(4));  // the same /48
  EXPECT_EQ(delay.AfterFailure("2001:db8:2::1"), seconds(2));
  EXPECT_EQ(delay.AfterFailure("::ffff:192.0.2.2"), seconds(4));
  clock.now += kFailureMemory;
  EXPECT_EQ(delay.AfterFailure("192.0.2.1"), seconds(2));
}

TEST(FailureDelay, WhoGoesOnFailingIsNotForgotten) {
  HandClock clock;
  FailureDelay delay(clock);
  for (const seconds expected : {seconds(2), seconds(4), seconds(8)}) {
    EXPECT_EQ(delay.AfterFailure("192.0.2.1"), expected);
    clock.now += kFailureMemory - seconds(1);
  }
}

TEST(FailureDelay, WhoFailedLatelyIsRememberedBeforeOthers) {
  HandClock clock;
  FailureDelay delay(clock, 2);
  for (const char* address : {"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"})
    delay.AfterFailure(address);
  EXPECT_EQ(delay.AfterFailure("192.0.2.1"), seconds(8));
}

TEST(FailureDelay, RemembersABoundedNumberOfNetworks) {
  HandClock clock;
  FailureDelay delay(clock, 2);
  delay.AfterFailure("192.0.2.1");
  delay.AfterFailure("192.0.2.2");
  delay.AfterFailure("192.0.2.3");
  EXPECT_EQ(delay.AfterFailure("192.0.2.1"), seconds(2));
  EXPECT_EQ(delay.AfterFailure("192.0.2.3"), seconds(4));
}

TEST(WorkerProtocol, ComesBackAsItWent) {
  const WorkerRequest request{"prov-pop3", "alice", Secret("a b\xff"), "192.0.2.1"};
  const std::string frame = EncodeRequest(request);
  ASSERT_EQ(DecodeHeader(frame.substr(0, kFrameHeaderOctets)), frame.size() - kFrameHeaderOctets);
  const auto back = DecodeRequest(frame.substr(kFrameHeaderOctets));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->login, "alice");
  EXPECT_EQ(back->password.Reveal(), "a b\xff");
  const std::string reply = EncodeReply({PamVerdict::kNotAllowed, "text", "12"});
  const auto reply_back = DecodeReply(reply.substr(kFrameHeaderOctets));
  ASSERT_TRUE(reply_back.has_value());
  EXPECT_EQ(reply_back->verdict, PamVerdict::kNotAllowed);
  EXPECT_EQ(reply_back->credential_version, "12");
}

TEST(WorkerProtocol, MalformedFramesAreRefused) {
  EXPECT_TRUE(EncodeRequest({"s", std::string(1025, 'x'), Secret(""), ""}).empty());
  EXPECT_EQ(DecodeHeader(std::string(4, '\0')), std::nullopt);
  EXPECT_EQ(DecodeHeader("\xff\xff\xff\xff"), std::nullopt);
  EXPECT_EQ(DecodeHeader(std::string_view("\0\0\x10\x01", 4)), std::nullopt);
  const std::string body = EncodeRequest({"a", "b", Secret("c"), "d"}).substr(kFrameHeaderOctets);
  for (size_t size = 0; size < body.size(); ++size) EXPECT_FALSE(DecodeRequest(body.substr(0, size)));
  EXPECT_FALSE(DecodeRequest(body + "x"));
  EXPECT_FALSE(DecodeReply(std::string_view("\x09\0\0\0\0", 5)));
  EXPECT_FALSE(DecodeReply(""));
}

TEST(Secret, MovesWithoutLeavingItBehind) {
  Secret first("short");
  Secret second = std::move(first);
  EXPECT_EQ(second.Reveal(), "short");
  EXPECT_EQ(first.Reveal(), "");
}

class WorkerPoolTest : public testing::Test {
 protected:
  WorkerPoolTest() { host_.SetPasswords({"alice:right:"}); }

  std::unique_ptr<WorkerPool> Pool(size_t workers, size_t max_queued = 256) {
    const auto pam = host_.Pam();
    WorkerPool::Options options;
    options.program = pam.worker_program;
    options.config_directory = pam.config_directory;
    options.workers = workers;
    options.max_queued = max_queued;
    options.timeout = std::chrono::minutes(5);  // none of these tests is about it
    return WorkerPool::Start(options);
  }

  static std::future<absl::StatusOr<WorkerReply>> Ask(WorkerPool& pool, const std::string& password) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<WorkerReply>>>();
    pool.Submit({"prov-pop3", "alice", Secret(password), ""},
                [promise](absl::StatusOr<WorkerReply> reply) { promise->set_value(std::move(reply)); });
    return promise->get_future();
  }

  TestHost host_;
};

TEST_F(WorkerPoolTest, AWorkerKilledWhileIdleCostsNobodyALogin) {
  auto pool = Pool(1);
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(Ask(*pool, "right").get().ok());
    const std::vector<int> pids = pool->WorkerPids();
    ASSERT_EQ(pids.size(), 1u);
    ASSERT_EQ(kill(pids[0], SIGKILL), 0);
    // The kernel takes the process away before it can read a request sent from now on, or its end is noticed.
    siginfo_t info;
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pids[0]), &info, WEXITED | WNOWAIT), 0);
    const auto reply = Ask(*pool, "right").get();
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->verdict, PamVerdict::kOk);
  }
}

TEST_F(WorkerPoolTest, ManyAtOnceAreAllAnswered) {
  auto pool = Pool(3);
  std::vector<std::future<absl::StatusOr<WorkerReply>>> replies;
  for (int i = 0; i < 200; ++i) replies.push_back(Ask(*pool, i % 2 == 0 ? "right" : "wrong"));
  for (int i = 0; i < 200; ++i) {
    const auto reply = replies[static_cast<size_t>(i)].get();
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->verdict, i % 2 == 0 ? PamVerdict::kOk : PamVerdict::kWrongOrUnknown);
  }
}

TEST_F(WorkerPoolTest, WhatCannotBeSentCostsNoWorker) {
  auto pool = Pool(1);
  ASSERT_TRUE(Ask(*pool, "right").get().ok());
  const std::vector<int> pids = pool->WorkerPids();
  EXPECT_TRUE(absl::IsInvalidArgument(Ask(*pool, std::string(1 << 20, 'x')).get().status()));
  EXPECT_TRUE(Ask(*pool, "right").get().ok());
  EXPECT_EQ(pool->WorkerPids(), pids);
}

TEST_F(WorkerPoolTest, TheQueueIsBounded) {
  auto pool = Pool(1, 2);
  std::vector<std::future<absl::StatusOr<WorkerReply>>> replies;
  for (int i = 0; i < 20; ++i) replies.push_back(Ask(*pool, "hang"));
  EXPECT_EQ(replies.back().get().status().code(), absl::StatusCode::kResourceExhausted);
  pool.reset();
  for (size_t i = 0; i + 1 < replies.size(); ++i) EXPECT_FALSE(replies[i].get().ok());
}

// A program in the worker's place, of a shell's few lines.
class OddWorkerTest : public WorkerPoolTest {
 protected:
  std::unique_ptr<WorkerPool> Odd(const std::string& script,
                                  std::chrono::milliseconds timeout = seconds(20)) {
    const std::string program = host_.path() + "/worker";
    std::ofstream(program) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    WorkerPool::Options options;
    options.program = program;
    options.workers = 1;
    options.timeout = timeout;
    options.first_restart = std::chrono::milliseconds(1);
    return WorkerPool::Start(options);
  }
};

TEST_F(OddWorkerTest, GarbageIsNoAnswerAndEndsTheWorker) {
  // A frame without end, one that is too long, one of no verdict, a field that is cut off, half a header.
  for (const char* octets :
       {"\\000\\000\\000\\000", "\\377\\377\\377\\377", "\\000\\000\\000\\005\\011\\000\\000\\000\\000",
        "\\000\\000\\000\\003\\001\\377\\377", "\\000\\000", "HTTP/1.1 200 OK"}) {
    auto pool = Odd(std::string("head -c 8 >/dev/null; printf '") + octets + "' >&0");
    for (int i = 0; i < 2; ++i) {
      const auto reply = Ask(*pool, "right").get();
      EXPECT_EQ(reply.status().code(), absl::StatusCode::kUnavailable) << octets << reply.status();
    }
  }
}

TEST_F(OddWorkerTest, AnAnswerBeforeTheQuestionIsNoAnswer) {
  // kOk to whatever will be asked; then it waits, so that its end is not what ends it.
  auto pool = Odd("printf '\\000\\000\\000\\005\\001\\000\\000\\000\\000' >&0; touch " + host_.path() +
                  "/said; exec cat >/dev/null");
  const auto deadline = steady_clock::now() + seconds(30);
  while (!std::filesystem::exists(host_.path() + "/said") && steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const auto reply = Ask(*pool, "wrong").get();
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(OddWorkerTest, OneThatReadsNothingIsKilledInTime) {
  auto pool = Odd("exec sleep 1000", std::chrono::milliseconds(200));
  const auto reply = Ask(*pool, "right").get();
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kDeadlineExceeded) << reply.status();
}

TEST_F(OddWorkerTest, OneThatEndsAtOnceIsStartedAgainWithPauses) {
  const auto began = steady_clock::now();
  auto pool = Odd("exit 1");
  // Each costs a worker. Doubling from a millisecond, nine pauses take 511; a slow machine takes longer.
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(Ask(*pool, "right").get().ok());
  EXPECT_GE(steady_clock::now() - began, std::chrono::milliseconds(511));
}

TEST_F(WorkerPoolTest, WorkersInheritNoDescriptors) {
  // Without O_CLOEXEC, as a careless library would open it.
  const std::string secret_file = host_.path() + "/secret";
  FILE* file = fopen(secret_file.c_str(), "w");
  ASSERT_NE(file, nullptr);
  auto worker = WorkerProcess::Spawn(host_.Pam().worker_program, host_.Pam().config_directory);
  ASSERT_TRUE(worker.ok());
  // Once it answers it has done its hardening.
  ASSERT_TRUE(
      (*worker)->Ask({"prov-pop3", "alice", Secret("x"), ""}, {steady_clock::now() + seconds(10)}).ok());
  std::error_code error;
  std::filesystem::directory_iterator open_files("/proc/" + std::to_string((*worker)->pid()) + "/fd", error);
  fclose(file);
  // Not even its own user may look into a worker; root may.
  if (error) GTEST_SKIP() << error.message();
  for (const auto& entry : open_files) {
    EXPECT_NE(std::filesystem::read_symlink(entry.path(), error), secret_file);
  }
}

}  // namespace
}  // namespace prov::auth
