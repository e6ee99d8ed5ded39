#include "agents/engine_supervisor.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>

#include "common/file.h"
#include "common/status.h"

namespace prov {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 5);
  }
  return true;
}

// Gone, or waiting to be collected by whoever inherited it.
bool IsDead(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(stat, line)) return true;
  return line.at(line.rfind(')') + 2) == 'Z';
}

class Engine : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/prov-engine-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    chmod(directory_.c_str(), 0755);
    std::filesystem::create_directory(directory_ + "/out");
    chmod((directory_ + "/out").c_str(), 0777);
    if (geteuid() == 0) user_ = *ResolveEngineUser("nobody");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // A program that writes down what it was given and then does as told.
  EngineOptions Program(const std::string& then, const std::string& first = "") {
    const std::string path = directory_ + "/engine";
    const std::string out = directory_ + "/out/";
    std::ofstream(path) << "#!/bin/sh\n"
                        << first << "\necho \"$1 $2\" > " << out << "arguments\n"
                        << "id -u > " << out << "uid\nid -G > " << out << "groups\n"
                        << "env > " << out << "environment\n"
                        << "grep CapEff /proc/self/status > " << out << "capabilities\n"
                        << "grep CapPrm /proc/self/status >> " << out << "capabilities\n"
                        << "grep SigBlk /proc/self/status > " << out << "signals\n"
                        << "ls /proc/self/fd | wc -l > " << out << "files\n"
                        << "ulimit -Sn > " << out << "limits; ulimit -Hn >> " << out << "limits\n"
                        << "echo $$ > " << out << "pid.new; mv " << out << "pid.new " << out << "pid\n"
                        << then << "\n";
    chmod(path.c_str(), 0755);
    return {.program = path,
            .config = directory_ + "/agent.toml",
            .user = user_,
            .restart = {.first = milliseconds(20), .longest = milliseconds(100)}};
  }

  std::string Out(const std::string& name) const {
    return ReadFile(directory_ + "/out/" + name, 1 << 20).value_or("");
  }
  bool IsUp() const { return std::filesystem::exists(directory_ + "/out/pid"); }

  std::string directory_;
  std::optional<EngineUser> user_;
};

TEST_F(Engine, IsStartedUnprivilegedAndBare) {
  setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  const FileDescriptor leak(dup(2));  // not close-on-exec
  EngineSupervisor supervisor(Program("exec sleep 600"), SystemClock());
  supervisor.Poll();
  ASSERT_TRUE(Eventually([&] { return IsUp(); }));
  EXPECT_EQ(Out("arguments"), "--config " + directory_ + "/agent.toml\n");
  EXPECT_NE(Out("uid"), "0\n");
  EXPECT_EQ(Out("environment").find("NOTIFY_SOCKET"), std::string::npos);
  EXPECT_EQ(Out("signals"), "SigBlk:\t0000000000000000\n");
  EXPECT_EQ(Out("files"), "4\n");  // three, and ls's own
  if (user_) {
    EXPECT_EQ(Out("uid"), std::to_string(user_->uid) + "\n");
    EXPECT_EQ(Out("groups"), std::to_string(user_->gid) + "\n");
    EXPECT_EQ(Out("capabilities"), "CapEff:\t0000000000000000\nCapPrm:\t0000000000000000\n");
  }
  pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
  unsetenv("NOTIFY_SOCKET");
}

// Two thousand sessions of a listener have some descriptors each; systemd's soft limit is 1024.
TEST_F(Engine, MayOpenAsManyFilesAsTheHostLets) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low = {.rlim_cur = 200, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  EngineSupervisor supervisor(Program("exec sleep 600"), SystemClock());
  supervisor.Poll();
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(Eventually([&] { return IsUp(); }));
  const std::string hard = std::to_string(before.rlim_max);
  EXPECT_EQ(Out("limits"), hard + "\n" + hard + "\n");
}

TEST_F(Engine, LowPortsAreTheOnlyCapability) {
  if (!user_) GTEST_SKIP() << "needs root to hand a capability on";
  EngineOptions options = Program("exec sleep 600");
  options.low_ports = true;
  EngineSupervisor supervisor(std::move(options), SystemClock());
  supervisor.Poll();
  ASSERT_TRUE(Eventually([&] { return IsUp(); }));
  EXPECT_EQ(Out("capabilities"), "CapEff:\t0000000000000400\nCapPrm:\t0000000000000400\n");
}

TEST_F(Engine, IsNeverRoot) {
  EXPECT_FALSE(ResolveEngineUser("root").ok());
  EXPECT_FALSE(ResolveEngineUser("no-such-user").ok());
  if (geteuid() != 0) {
    EXPECT_FALSE(ResolveEngineUser("nobody").ok());
    EXPECT_FALSE(ResolveEngineUser("")->has_value());
    return;
  }
  EXPECT_FALSE(ResolveEngineUser("").ok());
  EngineOptions options = Program("exec sleep 600");
  options.user.reset();
  EngineSupervisor nobody_named(options, SystemClock());
  nobody_named.Poll();
  EXPECT_EQ(nobody_named.pid(), 0);
  options.user = EngineUser{.name = "toor", .uid = 0, .gid = 0};
  EngineSupervisor root_named(options, SystemClock());
  root_named.Poll();
  EXPECT_EQ(root_named.pid(), 0);
  EXPECT_FALSE(IsUp());
}

TEST_F(Engine, IsStartedAgainWhenItIsKilledOrEnds) {
  EngineSupervisor supervisor(Program("exec sleep 600"), SystemClock());
  pid_t last = 0;
  for (int round = 1; round <= 3; ++round) {
    ASSERT_TRUE(Eventually([&] {
      supervisor.Poll();
      return supervisor.pid() != 0 && supervisor.pid() != last;
    }));
    EXPECT_EQ(supervisor.starts(), static_cast<uint64_t>(round));
    last = supervisor.pid();
    kill(last, SIGKILL);
  }
  EngineSupervisor ends(Program("exit 3"), SystemClock());
  EXPECT_TRUE(Eventually([&] {
    ends.Poll();
    return ends.starts() >= 3;
  }));
}

TEST_F(Engine, AProgramThatIsNotThereIsTriedAgain) {
  EngineOptions options = Program("exec sleep 600");
  const std::string program = options.program;
  std::filesystem::rename(program, program + ".away");
  EngineSupervisor supervisor(options, SystemClock());
  supervisor.Poll();
  EXPECT_EQ(supervisor.pid(), 0);
  EXPECT_GT(supervisor.NextPoll(), milliseconds(0));
  std::filesystem::rename(program + ".away", program);
  EXPECT_TRUE(Eventually([&] {
    supervisor.Poll();
    return supervisor.pid() != 0;
  }));
}

TEST_F(Engine, StopIsPoliteThenFirm) {
  EngineOptions polite = Program("while :; do sleep 1 & wait; done",
                                 "trap 'echo bye > " + directory_ + "/out/bye; exit 0' TERM");
  EngineSupervisor supervisor(polite, SystemClock());
  supervisor.Poll();
  ASSERT_TRUE(Eventually([&] { return IsUp(); }));
  supervisor.Stop();
  EXPECT_EQ(Out("bye"), "bye\n");
  EXPECT_EQ(supervisor.pid(), 0);
  supervisor.Poll();
  EXPECT_EQ(supervisor.pid(), 0);

  std::filesystem::remove(directory_ + "/out/pid");
  EngineOptions deaf = Program("while :; do sleep 1; done", "trap '' TERM");
  deaf.stop_patience = milliseconds(200);
  EngineSupervisor firm(deaf, SystemClock());
  firm.Poll();
  ASSERT_TRUE(Eventually([&] { return IsUp(); }));
  const pid_t pid = firm.pid();
  firm.Stop();
  EXPECT_TRUE(IsDead(pid));
}

TEST_F(Engine, DiesWithItsAgent) {
  const EngineOptions options = Program("exec sleep 600");
  const pid_t agent = fork();
  if (agent == 0) {
    EngineSupervisor supervisor(options, SystemClock());
    supervisor.Poll();
    for (;;) pause();
  }
  ASSERT_TRUE(Eventually([&] { return IsUp(); }));
  const pid_t engine = std::stoi(Out("pid"));
  EXPECT_FALSE(IsDead(engine));
  kill(agent, SIGKILL);
  waitpid(agent, nullptr, 0);
  EXPECT_TRUE(Eventually([&] { return IsDead(engine); }));
}

}  // namespace
}  // namespace prov
