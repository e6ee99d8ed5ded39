// The prov-agent program itself, and the parts of it that need no engine.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "absl/strings/ascii.h"
#include "agents/config.h"
#include "agents/crash_count.h"
#include "agents/endpoints.h"
#include "agents/state/reader.h"
#include "agents/state/test_records.h"
#include "agents/state/writer.h"
#include "agents/state_directory.h"
#include "common/file.h"
#include "server/enrol/authority.h"

namespace prov {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kMostOctets = 1 << 20;

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 10);
  }
  return true;
}

// Its parent and state, by /proc; nothing when it is gone or waits to be collected.
std::optional<pid_t> ParentOf(pid_t pid) {
  const auto stat = ReadFile("/proc/" + std::to_string(pid) + "/stat", kMostOctets);
  if (!stat.ok()) return std::nullopt;
  const std::string rest = stat->substr(stat->rfind(')') + 2);
  if (rest.at(0) == 'Z') return std::nullopt;
  return std::stoi(rest.substr(2));
}

class Agent : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/prov-agent-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    chmod(directory_.c_str(), 0755);
    for (const char* name : {"out", "mail", "root"}) {
      fs::create_directory(Path(name));
      chmod(Path(name).c_str(), 0777);
    }
    ASSERT_TRUE(enrol::Authority::Create(Path("ca")).ok());
    const auto issued = enrol::Authority::Load(Path("ca"))->Issue({.identity = "prov://agent/store1"});
    Write("agent.pem", issued.value().certificate_pem);
    Write("agent.key", issued->key_pem);
    Write("engine", "#!/bin/sh\nid -u > " + Path("out/uid") + "\necho $$ > " + Path("out/pid.new") + "\nmv " +
                        Path("out/pid.new") + " " + Path("out/pid") + "\necho store=0 > " +
                        Path("state/engine.status") + "\nexec sleep 600\n");
    chmod(Path("engine").c_str(), 0755);
    Write("agent.toml", Configuration());
  }
  void TearDown() override {
    for (const pid_t pid : running_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    fs::remove_all(directory_);
  }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(Path(name)) << content;
  }
  std::string Read(const std::string& name) const { return ReadFile(Path(name), kMostOctets).value_or(""); }

  std::string Configuration() const {
    return fmt::format(R"(host = "store1"
provd = ["127.0.0.1:1"]
roles = ["store", "ftp"]
state_directory = "state"
[tls]
ca = "ca/ca.pem"
certificate = "agent.pem"
key = "agent.key"
[accounts]
root = "root"
home_prefix = "homes"
[store]
maildir_root = "mail"
[ftp]
home_root = "homes"
[engine]
program = "engine"
user = "{}"
[engine.lmtp]
listen = ["0.0.0.0:2424"]
)",
                       geteuid() == 0 ? "nobody" : "");
  }

  // Runs the program with its standard error in FILE.
  pid_t Start(const std::string& log, const std::vector<std::string>& more = {}) {
    std::vector<std::string> text = {"prov-agent", "--config", Path("agent.toml")};
    text.insert(text.end(), more.begin(), more.end());
    std::vector<char*> arguments;
    for (std::string& argument : text) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, Path(log).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, "agents/prov-agent", &actions, nullptr, arguments.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    running_.push_back(pid);
    return pid;
  }
  int Wait(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    std::erase(running_, pid);
    return status;
  }
  bool IsReady(const std::string& log) {
    return Eventually([&] { return Read(log).find(" ready") != std::string::npos; });
  }
  // Without a copy and without provd it will not be ready.
  bool IsStarted(const std::string& log) {
    return Eventually([&] { return Read(log).find(" started host=") != std::string::npos; });
  }
  // The engine that this agent started.
  // A copy from before: with that it does without provd.
  void MakeCopy() {
    fs::create_directory(Path("state"));
    const auto state = state::StateWriter::Open(Path("state"));
    ASSERT_TRUE(state.ok()) << state.status();
    for (const v1::Role role : {v1::STORE, v1::FTP}) {
      v1::Batch batch;
      batch.set_to_revision(7);
      ASSERT_TRUE((*state)->ApplyBatch(role, batch).ok());
    }
  }
  pid_t EngineOf(pid_t agent) {
    pid_t engine = 0;
    EXPECT_TRUE(Eventually([&] {
      const std::string text = Read("out/pid");
      engine = text.empty() ? 0 : std::stoi(text);
      return engine != 0 && ParentOf(engine) == agent;
    }));
    return engine;
  }

  std::string directory_;
  std::vector<pid_t> running_;
};

// systemd's end of what a service tells it.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& path) : socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {.sun_family = AF_UNIX};
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    chmod(path.c_str(), 0777);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~NotifySocket() { unsetenv("NOTIFY_SOCKET"); }

  // All that was told so far, a line each.
  const std::string& Told() {
    char text[4096];
    for (ssize_t got; (got = recv(socket_.get(), text, sizeof text, MSG_DONTWAIT)) > 0;)
      told_.append(text, static_cast<size_t>(got)).append("\n");
    return told_;
  }

 private:
  const FileDescriptor socket_;
  std::string told_;
};

// An empty host that called itself ready would refuse what its clones take.
TEST_F(Agent, WithoutACopyItIsNotReadyAndSystemdIsToldWhyAndToWait) {
  NotifySocket systemd(Path("notify"));
  const pid_t agent = Start("log");
  EngineOf(agent);
  EXPECT_TRUE(Eventually([&] { return systemd.Told().find("has no copy yet") != std::string::npos; }))
      << systemd.Told();
  EXPECT_NE(systemd.Told().find("EXTEND_TIMEOUT_USEC="), std::string::npos) << systemd.Told();
  EXPECT_EQ(systemd.Told().find("READY=1"), std::string::npos) << systemd.Told();
  kill(agent, SIGTERM);
  EXPECT_EQ(Wait(agent), 0);
}

TEST_F(Agent, WithACopyItIsReadyWithoutProvdAndStopsCleanlyWithItsEngine) {
  MakeCopy();
  NotifySocket systemd(Path("notify"));
  const pid_t agent = Start("log");
  ASSERT_TRUE(IsReady("log")) << Read("log");
  EXPECT_TRUE(Eventually([&] { return systemd.Told().find("READY=1") != std::string::npos; }));
  const pid_t engine = EngineOf(agent);
  EXPECT_NE(Read("out/uid"), "0\n");
  // Its engine could read by now.
  EXPECT_TRUE(state::StateReader::Open(Path("state")).ok());
  EXPECT_TRUE(Eventually([&] { return fs::exists(Path("root/etc/passwd.cache.ixuid")); }));
  kill(agent, SIGTERM);
  EXPECT_EQ(Wait(agent), 0);
  EXPECT_FALSE(ParentOf(engine).has_value());
}

TEST_F(Agent, KilledOneTakesItsEngineAlongAndTheNextTakesOver) {
  MakeCopy();
  const pid_t first = Start("log1");
  const pid_t first_engine = EngineOf(first);
  // While it runs nobody else has its directory; the next waits for it.
  const pid_t second = Start("log2");
  EXPECT_FALSE(StateDirectory::Claim(Path("state"), std::nullopt, milliseconds(50)).ok());
  kill(first, SIGKILL);
  Wait(first);
  ASSERT_TRUE(IsReady("log2")) << Read("log2");
  EXPECT_TRUE(Eventually([&] { return !ParentOf(first_engine).has_value(); }));
  EXPECT_NE(EngineOf(second), first_engine);
}

TEST_F(Agent, LeavesTheEngineToItsOwnUnitWhenTold) {
  const pid_t agent = Start("log", {"--no-engine"});
  ASSERT_TRUE(IsStarted("log")) << Read("log");
  // What the engine reads belongs to its group all the same.
  EXPECT_TRUE(state::StateReader::Open(Path("state")).ok());
  kill(agent, SIGTERM);
  EXPECT_EQ(Wait(agent), 0);
  EXPECT_FALSE(fs::exists(Path("out/pid")));
}

TEST_F(Agent, KilledEngineIsStartedAgain) {
  const pid_t agent = Start("log");
  const pid_t engine = EngineOf(agent);
  kill(engine, SIGKILL);
  EXPECT_TRUE(Eventually([&] {
    const std::string text = Read("out/pid");
    return !text.empty() && std::stoi(text) != engine && ParentOf(std::stoi(text)) == agent;
  }));
}

TEST_F(Agent, RefusesAnEngineAsRootAndBadConfigurationWithStatusTwo) {
  std::string text = Configuration();
  if (geteuid() == 0) {
    text.replace(text.find("nobody"), 6, "root");
    Write("agent.toml", text);
    EXPECT_EQ(WEXITSTATUS(Wait(Start("log"))), 2);
    EXPECT_NE(Read("log").find("never runs as root"), std::string::npos) << Read("log");
  }
  Write("agent.toml", "host = 5\nnonsense = true\n");
  EXPECT_EQ(WEXITSTATUS(Wait(Start("log"))), 2);
  EXPECT_NE(Read("log").find("nonsense"), std::string::npos) << Read("log");
  EXPECT_FALSE(fs::exists(Path("out/pid")));
}

TEST_F(Agent, RefusesTimesThatMakeItTryWithoutPauseOrGiveUpAtOnce) {
  for (const std::string line :
       {"first_retry = \"0s\"", "longest_retry = \"0s\"", "give_up = \"1000000d\""}) {
    Write("agent.toml", Configuration() + "[engine.queue]\n" + line + "\n");
    const auto config = LoadAgentConfig(Path("agent.toml"));
    ASSERT_FALSE(config.ok()) << line;
    EXPECT_NE(config.status().message().find("engine.queue." + line.substr(0, line.find(' ')) + " must be"),
              std::string::npos)
        << config.status();
  }
}

// A next hop that is none would be tried for five days, and then all mail for it returned.
TEST_F(Agent, RefusesAnAddressThatIsNoHostAndPort) {
  const std::map<std::string, std::string> wrong = {
      {"engine.smtp.smarthost", "[engine.smtp]\nsmarthost = \"smart.example.net\"\n"},
      {"engine.smtp.listen", "[engine.smtp]\nlisten = [\"0.0.0.0:25\", \"25\"]\n"},
      {"engine.lmtp.forward_relay", "forward_relay = \"relay.example.net\"\n"},
      {"engine.pop3.listen", "[engine.pop3]\nlisten = [\"2001:db8::1:110\"]\n"},
      {"engine.pop3_proxy.listen", "[engine.pop3_proxy]\nlisten = [\"127.0.0.1:99999\"]\n"}};
  for (const auto& [key, text] : wrong) {
    Write("agent.toml", Configuration() + text);
    EXPECT_EQ(WEXITSTATUS(Wait(Start("log"))), 2) << key;
    EXPECT_NE(Read("log").find(key + ": "), std::string::npos) << Read("log");
  }
  AgentConfig right;
  right.engine.smtp.smarthost = "[2001:db8::1]:25";
  right.engine.lmtp.listen = {"*:24", ":2424"};
  EXPECT_TRUE(CheckAddresses(right).ok()) << CheckAddresses(right);
}

// One user can neither deliver into other uids' maildirs nor read them.
TEST_F(Agent, RefusesOwnEnginesForMaildirsOfAccounts) {
  const std::string text = Configuration();
  const auto with = [&](const std::string& store, const std::string& listen) {
    std::string changed = text;
    changed.replace(changed.find("[ftp]"), 0, store + "\n");
    const std::string lmtp = "listen = [\"0.0.0.0:2424\"]\n";
    changed.replace(changed.find(lmtp), lmtp.size(), listen);
    Write("agent.toml", changed);
    const auto config = LoadAgentConfig(Path("agent.toml"));
    return config.ok() ? "" : std::string(config.status().message());
  };
  const std::string account = "owner = \"account\"";
  EXPECT_EQ(with(account, ""), "");
  EXPECT_NE(with(account, "listen = [\"0.0.0.0:24\"]\n").find("engine.lmtp.listen is not possible"),
            std::string::npos);
  EXPECT_NE(with(account, "[engine.pop3]\nlisten = [\"0.0.0.0:110\"]\n").find("engine.pop3.listen is not"),
            std::string::npos);
  EXPECT_NE(with(account + "\ntransfer_listen = \"0.0.0.0:1\"", "").find("store.transfer_listen is not"),
            std::string::npos);
  EXPECT_NE(with("owner = \"root\"", "").find("neither service nor account"), std::string::npos);
}

TEST_F(Agent, BrokenStateIsPutAsideAndBegunAnew) {
  fs::create_directory(Path("state"));
  Write("state/data.mdb", std::string(100000, 'x'));
  EngineOf(Start("log"));
  EXPECT_TRUE(state::StateReader::Open(Path("state")).ok());
  EXPECT_EQ(fs::file_size(Path("state/broken.mdb")), 100000u);
}

// The file is there and has its size; what is in it no longer hangs together.
TEST_F(Agent, StateWhosePagesAreSpoiltIsPutAsideAndBegunAnew) {
  fs::create_directory(Path("state"));
  {
    const auto writer = state::StateWriter::Open(Path("state")).value();
    std::vector<v1::Record> records;
    for (int id = 1; id <= 2000; ++id) records.push_back(state::MailboxRecord(id, 1));
    ASSERT_TRUE(writer->ApplyBatch(v1::STORE, state::BatchOf(1, records)).ok());
  }
  EXPECT_EQ(WEXITSTATUS(Wait(Start("log", {"check-state"}))), 0);
  std::fstream file(Path("state/data.mdb"), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(10 * 4096);
  file << std::string(static_cast<size_t>(fs::file_size(Path("state/data.mdb"))) / 2, '\x5a');
  file.close();
  EXPECT_NE(Wait(Start("log", {"check-state"})), 0);
  Start("log");
  ASSERT_TRUE(IsStarted("log")) << Read("log");
  EXPECT_NE(Read("log").find("state_broken"), std::string::npos) << Read("log");
  EXPECT_TRUE(fs::exists(Path("state/broken.mdb")));
  EXPECT_TRUE(absl::IsUnavailable(
      state::StateReader::Open(Path("state")).value()->FindMailboxByLogin("user1@example.net").status()));
}

// What no check finds must not end the agent for ever.
TEST_F(Agent, StateOnWhichItCrashedTwiceInARowIsPutAside) {
  for (const int crashes : {1, 2}) {
    const pid_t agent = Start("log");
    ASSERT_TRUE(IsStarted("log")) << Read("log");
    EXPECT_FALSE(fs::exists(Path("state/broken.mdb"))) << crashes;
    kill(agent, SIGSEGV);
    EXPECT_EQ(WTERMSIG(Wait(agent)), SIGSEGV);
    EXPECT_EQ(CrashesCounted(Path("state")), static_cast<uint64_t>(crashes));
  }
  Start("log");
  ASSERT_TRUE(IsStarted("log")) << Read("log");
  EXPECT_TRUE(fs::exists(Path("state/broken.mdb")));
  EXPECT_EQ(CrashesCounted(Path("state")), 0u);
}

// A kill, as after a crash of the machine, says nothing of the state.
TEST_F(Agent, StateOfAnAgentThatWasKilledIsKept) {
  for (int i = 0; i < 3; ++i) {
    const pid_t agent = Start("log");
    ASSERT_TRUE(IsStarted("log")) << Read("log");
    kill(agent, SIGKILL);
    Wait(agent);
  }
  EXPECT_FALSE(fs::exists(Path("state/broken.mdb")));
}

// A copy of a directory is another agent's, with all that is in it.
TEST_F(Agent, AnInstanceIsOneDirectoryOnOneMachine) {
  for (const char* name : {"one", "other"}) fs::create_directory(Path(name));
  EXPECT_EQ(InstanceOf(Path("one")).value(), InstanceOf(Path("one")).value());
  EXPECT_NE(InstanceOf(Path("one")).value(), InstanceOf(Path("other")).value());
  EXPECT_FALSE(InstanceOf(Path("none")).ok());
}

TEST_F(Agent, AnOperatorsWordHoldsForAnHour) {
  fs::create_directory(Path("state"));
  EXPECT_EQ(PermittedRemovals(Path("state"), SystemClock()), 0u);
  EXPECT_EQ(Wait(Start("log", {"--allow-removals", "250"})), 0);
  EXPECT_EQ(PermittedRemovals(Path("state"), SystemClock()), 250u);
  const utimbuf old = {.actime = time(nullptr) - 3700, .modtime = time(nullptr) - 3700};
  utime(Path("state/allowed-removals").c_str(), &old);
  EXPECT_EQ(PermittedRemovals(Path("state"), SystemClock()), 0u);
  // Nor for longer, because the clock has been set back since.
  const utimbuf future = {.actime = time(nullptr) + 3700, .modtime = time(nullptr) + 3700};
  utime(Path("state/allowed-removals").c_str(), &future);
  EXPECT_EQ(PermittedRemovals(Path("state"), SystemClock()), 0u);
}

TEST_F(Agent, WithoutANameOfItsOwnTheHostHasTheMachines) {
  std::string text = Configuration();
  text.erase(0, text.find('\n') + 1);
  Write("agent.toml", text);
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  const auto config = LoadAgentConfig(Path("agent.toml"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->host, absl::AsciiStrToLower(name));
  EXPECT_EQ(config->engine.hostname, config->host);
}

// RFC 2449 tells days and seconds.
TEST_F(Agent, WhatPop3ClientsAreToldIsWholeDaysAndSeconds) {
  const auto load = [this](const std::string& keys) {
    Write("agent.toml", Configuration() + "\n[engine.pop3]\n" + keys + "\n");
    return LoadAgentConfig(Path("agent.toml"));
  };
  const auto good = load("login_delay = \"90s\"\nplan_expire = { free = \"30d\", gold = \"0s\" }");
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->engine.pop3.login_delay, std::chrono::seconds(90));
  EXPECT_EQ(good->engine.pop3.plan_expire.at("free"), std::chrono::hours(24 * 30));
  for (const auto& [keys, key] :
       {std::pair{"expire = \"36h\"", "engine.pop3.expire"},
        std::pair{"plan_expire = { free = \"1h\" }", "engine.pop3.plan_expire.free"},
        std::pair{"login_delay = \"1500ms\"", "engine.pop3.login_delay"},
        std::pair{"plan_login_delay = { a = \"1ms\" }", "engine.pop3.plan_login_delay.a"}}) {
    const auto bad = load(keys);
    EXPECT_NE(bad.status().message().find(key), std::string::npos) << bad.status();
  }
}

TEST(Endpoints, AreTheFirstAddressOfEachOfTheRolesServices) {
  AgentConfig config;
  config.host = "store1.example.net";
  config.roles = {v1::STORE};
  EXPECT_FALSE(NeedsEngine(config));
  config.engine.lmtp.listen = {"0.0.0.0:24", "10.0.0.1:2424"};
  config.engine.pop3.listen = {"[2001:db8::1]:1110"};
  config.engine.smtp.listen = {"10.0.0.1:25"};
  const std::map<std::string, std::string> store = {{"lmtp", "store1.example.net:24"},
                                                    {"pop3", "[2001:db8::1]:1110"}};
  EXPECT_EQ(EndpointsOf(config, v1::STORE), store);
  EXPECT_EQ(EndpointsOf(config, v1::RELAY).at("smtp"), "10.0.0.1:25");
  EXPECT_TRUE(EndpointsOf(config, v1::FTP).empty());
  EXPECT_TRUE(NeedsEngine(config));
  EXPECT_TRUE(NeedsLowPorts(config));
  config.engine.lmtp.listen = {"[::]:2424"};
  EXPECT_EQ(EndpointsOf(config, v1::STORE).at("lmtp"), "store1.example.net:2424");
  EXPECT_FALSE(NeedsLowPorts(config));
}

}  // namespace
}  // namespace prov
