// What the module leaves in the process that loads it: connections, descriptors, and what a fork finds.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "pam_module/testing/pam_directory.h"

namespace prov::pam {
namespace {

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

std::vector<int> Sockets() {
  std::vector<int> sockets;
  for (const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) {
    if (std::filesystem::read_symlink(one.path()).string().starts_with("socket:"))
      sockets.push_back(std::stoi(one.path().filename()));
  }
  return sockets;
}

TEST_F(PamProvTest, DescriptorsDoNotGrowWithLogins) {
  for (int i = 0; i < 2; ++i) LogInThroughPam("alice@example.net", kPassword);
  const size_t before = OpenDescriptors();
  for (int i = 0; i < 10; ++i) {
    LogInThroughPam("alice@example.net", kPassword);
    LogInThroughPam("alice@example.net", "wrong");
    LogInThroughPam("nobody@example.net", kPassword);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

size_t Count(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++count;
  return count;
}

TEST_F(PamProvTest, AProcessThatLogsInAgainAsksOverTheSameConnections) {
  LogInThroughPam("alice@example.net", kPassword);
  LogInThroughPam("alice@example.net", kPassword);
  const Log log;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("alice@example.net", "wrong").authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_SUCCESS);
  const std::string text = log.New();
  EXPECT_EQ(Count(text, "ACCEPT"), 0u) << text;
  // A search and a bind for each.
  EXPECT_EQ(Count(text, "SRCH base"), 5u) << text;
  EXPECT_EQ(Count(text, " method=128"), 5u) << text;
}

TEST_F(PamProvTest, EveryRefusalCostsTheDirectoryTheSame) {
  LogInThroughPam("alice@example.net", kPassword);
  LogInThroughPam("alice@example.net", kPassword);
  for (const char* login : {"alice@example.net", "nobody@example.net", "suspended@example.net",
                            "nopassword@example.net", "webonly@example.net"}) {
    const Log log;
    EXPECT_EQ(LogInThroughPam(login, "wrong").authenticate, PAM_AUTH_ERR) << login;
    // The line of an operation is there before its answer.
    const std::string text = log.New();
    EXPECT_EQ(Count(text, "SRCH base"), 1u) << text;
    EXPECT_EQ(Count(text, " method=128"), 1u) << text;
    EXPECT_EQ(Count(text, "ACCEPT"), 0u) << text;
  }
}

TEST_F(PamProvTest, AKeptConnectionThatDiedCostsNobodyALogin) {
  for (int i = 0; i < 2; ++i) EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_SUCCESS);
  slapd_->Kill();
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_AUTHINFO_UNAVAIL);
  ASSERT_TRUE(slapd_->StartAgain().ok());
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_SUCCESS);
  slapd_->Stop();
  ASSERT_TRUE(slapd_->StartAgain().ok());
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_SUCCESS);
}

// The child must neither use the parent's connections nor close them for it, with TLS or without.
TEST_F(PamProvTest, AForkedChildAsksOverConnectionsOfItsOwn) {
  for (const bool tls : {false, true}) {
    if (tls)
      Configure({slapd_->ldap_uri()},
                fmt::format("starttls = true\nca = \"{}\"\ntimeout = \"30s\"", slapd_->ca()));
    for (int i = 0; i < 2; ++i)
      EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_SUCCESS);
    const Log log;
    const pid_t child = fork();
    if (child == 0) {
      bool good = true;
      for (int i = 0; i < 3; ++i)
        good = good && LogInThroughPam("alice@example.net", kPassword).authenticate == PAM_SUCCESS;
      _exit(good ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_GT(Count(log.New(), "ACCEPT"), 0u);
    const Log after;
    EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_SUCCESS);
    EXPECT_EQ(Count(after.New(), "ACCEPT"), 0u) << after.New();
  }
}

// A program that logs somebody in and starts another must not hand our descriptors on.
TEST_F(PamProvTest, NoDescriptorOutlivesAnExec) {
  for (int i = 0; i < 3; ++i) LogInThroughPam("alice@example.net", kPassword);
  EXPECT_FALSE(Sockets().empty());
  for (const int one : Sockets()) EXPECT_NE(fcntl(one, F_GETFD) & FD_CLOEXEC, 0) << one;
}

TEST_F(PamProvTest, TheFirstLoginOfAProcessLeavesNothingOpen) {
  for (int i = 0; i < 2; ++i) LogInThroughPam("alice@example.net", kPassword);
  const pid_t child = fork();  // it has not logged in yet
  if (child == 0) {
    const bool good = LogInThroughPam("alice@example.net", kPassword).account == PAM_SUCCESS;
    // What the parent kept is closed meanwhile.
    _exit(good && Sockets().empty() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(PamProvTest, ThreadsDoNotDisturbEachOther) {
  Configure({slapd_->ldap_uri(), slapd_->ldapi()},
            fmt::format("starttls = true\nca = \"{}\"\ntimeout = \"30s\"", slapd_->ca()));
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const bool good = (t + i) % 2 == 0;
        const int code = LogInThroughPam("alice@example.net", good ? kPassword : "wrong").authenticate;
        if (code == (good ? PAM_SUCCESS : PAM_AUTH_ERR)) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 60);
}

// Protobuf ends a process in which the same message is registered twice: the module must not bring any.
TEST_F(PamProvTest, TwoCopiesOfTheModuleCanBeLoaded) {
  for (const char* name : {"one.so", "two.so"}) {
    const std::string copy = directory_ + "/" + name;
    std::filesystem::copy_file(ModulePath(), copy);
    void* module = dlopen(copy.c_str(), RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(module, nullptr) << dlerror();
    for (const char* symbol : {"pam_sm_authenticate", "pam_sm_acct_mgmt", "pam_sm_setcred",
                               "pam_sm_chauthtok", "pam_sm_open_session", "pam_sm_close_session"}) {
      EXPECT_NE(dlsym(module, symbol), nullptr);
    }
    EXPECT_EQ(
        dlsym(module, "_ZN4prov3pam10LoadConfigERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"),
        nullptr);
  }
}

}  // namespace
}  // namespace prov::pam
