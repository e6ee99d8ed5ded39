// The password prompt on a real pseudo terminal.
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "cli/provctl_process.h"
#include "cli/scripted_provd.h"

namespace prov::cli {
namespace {

constexpr int kPatienceMilliseconds = 30'000;

class PromptTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/prompt.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    provd_ = std::make_unique<ScriptedProvd>(directory_, script_);
    script_.subscriber.set_login("alice@example.net");
    pid_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) ExecProvctl(directory_, provd_->config(), {"set-password", "alice@example.net"});
  }
  void TearDown() override {
    if (pid_ > 0) kill(pid_, SIGKILL);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    close(terminal_);
    provd_.reset();
    std::filesystem::remove_all(directory_);
  }

  // Reads until the terminal shows `text`, or has ended.
  bool Shows(const std::string& text) {
    while (screen_.find(text) == std::string::npos) {
      pollfd ready = {terminal_, POLLIN, 0};
      char data[256];
      if (poll(&ready, 1, kPatienceMilliseconds) <= 0) return false;
      const ssize_t got = read(terminal_, data, sizeof data);
      if (got <= 0) return false;
      screen_.append(data, static_cast<size_t>(got));
    }
    return true;
  }
  bool Echoes() {
    termios now{};
    EXPECT_EQ(tcgetattr(terminal_, &now), 0);
    return (now.c_lflag & ECHO) != 0;
  }
  // After the question, echo is put off with TCSAFLUSH, which throws away what was typed too early.
  void AwaitSilence() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMilliseconds);
    while (Echoes() && std::chrono::steady_clock::now() < deadline) sched_yield();
    ASSERT_FALSE(Echoes());
  }
  void Type(const std::string& text) {
    ASSERT_EQ(write(terminal_, text.data(), text.size()), ssize_t(text.size()));
  }
  int Wait() {
    Shows("\n--never--");  // to the end: a full terminal would hold the program up
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  void Answer(const std::string& first, const std::string& second) {
    ASSERT_TRUE(Shows("Password for alice@example.net: ")) << screen_;
    AwaitSilence();
    Type(first);
    ASSERT_TRUE(Shows("Again: ")) << screen_;
    AwaitSilence();
    Type(second);
  }

  std::string directory_, screen_;
  Script script_;
  std::unique_ptr<ScriptedProvd> provd_;
  int terminal_ = -1;
  pid_t pid_ = -1;
};

TEST_F(PromptTest, AsksTwiceWithoutEcho) {
  Answer("Zebra9-Cobalt\n", "Zebra9-Cobalt\n");
  EXPECT_EQ(Wait(), 0) << screen_;
  EXPECT_EQ(screen_.find("Zebra"), std::string::npos) << screen_;
  ASSERT_EQ(script_.password_requests.size(), 1u);
  EXPECT_EQ(script_.password_requests[0].password(), "Zebra9-Cobalt");
}

TEST_F(PromptTest, DifferentAnswersChangeNothing) {
  Answer("Zebra9-Cobalt\n", "Zebra9-Cobald\n");
  EXPECT_EQ(Wait(), 5) << screen_;
  EXPECT_TRUE(script_.password_requests.empty());
}

TEST_F(PromptTest, InterruptLeavesATerminalThatEchoes) {
  ASSERT_TRUE(Shows("Password for alice@example.net: ")) << screen_;
  AwaitSilence();
  Type("Zeb\x03");
  EXPECT_EQ(Wait(), -SIGINT) << screen_;
  EXPECT_TRUE(Echoes());
  EXPECT_TRUE(script_.password_requests.empty());
}

}  // namespace
}  // namespace prov::cli
