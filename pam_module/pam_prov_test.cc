// pam_prov.so through real PAM against a real slapd that holds entries as the publisher writes them.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "pam_module/directory_login.h"
#include "pam_module/testing/hostile_server.h"
#include "pam_module/testing/pam_directory.h"

namespace prov::pam {
namespace {

TEST_F(PamProvTest, RightPasswordLogsIn) {
  const Outcome outcome = LogInThroughPam("alice@example.net", kPassword);
  EXPECT_EQ(outcome.authenticate, PAM_SUCCESS);
  EXPECT_EQ(outcome.account, PAM_SUCCESS);
  EXPECT_EQ(outcome.credential_version, "77");
  EXPECT_EQ(LogInThroughPam("Alice@EXAMPLE.net", kPassword).account, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("a+b{'}~#=@example.net", kPassword).authenticate, PAM_SUCCESS);
}

TEST_F(PamProvTest, WrongPasswordIsRefused) {
  EXPECT_EQ(LogInThroughPam("alice@example.net", "wrong").authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(LogInThroughPam("alice@example.net", "Secret").authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(LogInThroughPam("alice@example.net", "secret ").authenticate, PAM_AUTH_ERR);
}

// RFC 4513 section 5.1.2: with an empty password the bind succeeds, and is nobody's.
TEST_F(PamProvTest, EmptyPasswordIsRefusedWithoutAskingTheDirectory) {
  const Log log;
  const Outcome outcome = LogInThroughPam("alice@example.net", "");
  EXPECT_EQ(outcome.authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(log.New().find("uid=alice"), std::string::npos) << log.New();
}

TEST_F(PamProvTest, OverlongPasswordIsRefused) {
  EXPECT_EQ(LogInThroughPam("alice@example.net", std::string(1 << 20, 'x')).authenticate, PAM_AUTH_ERR);
}

TEST_F(PamProvTest, PasswordBeyondNulIsNotCutOff) {
  const auto config = LoadConfig(directory_ + "/pam_prov.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(LogIn(*config, "prov-pop3", "alice@example.net", kPassword).standing, Standing::kAllowed);
  EXPECT_EQ(LogIn(*config, "prov-pop3", "alice@example.net", std::string("secret\0", 7)).standing,
            Standing::kWrong);
}

TEST_F(PamProvTest, NamesThatNobodyCanHaveNeverReachTheDirectory) {
  const Log log;
  for (const std::string& name :
       {std::string("*"), std::string(")(uid=*"), std::string("\\"), std::string("*@example.net"),
        std::string("alice@example.net)(uid=*"), std::string("alice"), std::string("a\nb@x.net"),
        std::string(1 << 20, 'a'), std::string("\xFF@x.net"), std::string(" alice@example.net"),
        std::string("alice@example.net "), std::string("alice@example.net\\00"),
        std::string("alice@example.net,o=prov"), std::string("al\tice@example.net"),
        std::string("(uid=alice@example.net)")}) {
    const Outcome outcome = LogInThroughPam(name, kPassword);
    EXPECT_EQ(outcome.authenticate, PAM_USER_UNKNOWN) << name.substr(0, 30);
    EXPECT_EQ(outcome.account, PAM_USER_UNKNOWN);
  }
  EXPECT_EQ(log.New(), "");
}

TEST_F(PamProvTest, UnknownLoginCostsAHashAsAWrongPasswordDoes) {
  const Log log;
  const Outcome outcome = LogInThroughPam("nobody@example.net", kPassword);
  EXPECT_EQ(outcome.authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(outcome.account, PAM_USER_UNKNOWN);
  EXPECT_NE(log.New().find("BIND dn=\"cn=absent,ou=services,o=prov\""), std::string::npos) << log.New();
}

TEST_F(PamProvTest, SuspendedAndPasswordlessAreRefused) {
  const Outcome suspended = LogInThroughPam("suspended@example.net", kPassword);
  EXPECT_EQ(suspended.authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(suspended.account, PAM_ACCT_EXPIRED);
  EXPECT_EQ(LogInThroughPam("nopassword@example.net", kPassword).authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(LogInThroughPam("nopassword@example.net", "").authenticate, PAM_AUTH_ERR);
}

TEST_F(PamProvTest, EntitlementIsByService) {
  Outcome outcome = LogInThroughPam("alice@example.net", kPassword, "prov-web");
  EXPECT_EQ(outcome.authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(outcome.account, PAM_PERM_DENIED);
  outcome = LogInThroughPam("webonly@example.net", kPassword, "prov-web");
  EXPECT_EQ(outcome.authenticate, PAM_SUCCESS);
  EXPECT_EQ(outcome.account, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("webonly@example.net", kPassword, "prov-pop3").authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(LogInThroughPam("webonly@example.net", kPassword, "other").authenticate, PAM_AUTH_ERR);
}

// An access rule that hides the attribute, or a state of a newer provd: nothing says that the password
// counts.
TEST_F(PamProvTest, WithoutAKnownLoginStateNobodyGetsIn) {
  auto connection = ldap::Connection::Open({.uri = slapd_->ldapi()});
  ASSERT_TRUE(connection.ok());
  ASSERT_TRUE((*connection)->Bind(slapd_->ServiceDn("publisher"), slapd_->ServicePassword("publisher")).ok());
  int id = 10;
  for (const ldap::Values& state : {ldap::Values{}, ldap::Values{"paused"}}) {
    const std::string login = fmt::format("user{}@example.net", id);
    const auto entry =
        directory::SubscriberEntry(directory::TestSubscriber(id++, login),
                                   {.base = "o=prov", .services = {}, .home_prefix = "/srv/prov/homes"});
    ldap::Entry changed = *entry;
    changed.attributes.erase("provLoginState");
    if (!state.empty()) changed.attributes["provLoginState"] = state;
    const absl::Status added = (*connection)->Apply(ldap::Add{changed});
    ASSERT_TRUE(added.ok()) << added;
    for (const char* password : {kPassword, "wrong"}) {
      const Outcome outcome = LogInThroughPam(login, password);
      EXPECT_EQ(outcome.authenticate, PAM_AUTHINFO_UNAVAIL) << password;
      EXPECT_EQ(outcome.account, PAM_AUTHINFO_UNAVAIL) << password;
    }
  }
}

TEST_F(PamProvTest, AccountStageStandsAloneAndFollowsTheName) {
  char typed[] = "secret";
  const pam_conv conversation{&Converse, typed};
  pam_handle_t* pam = nullptr;
  ASSERT_EQ(pam_start_confdir("prov-pop3", "alice@example.net", &conversation,
                              (directory_ + "/pam.d").c_str(), &pam),
            PAM_SUCCESS);
  EXPECT_EQ(pam_acct_mgmt(pam, PAM_SILENT), PAM_SUCCESS);  // somebody else has authenticated
  EXPECT_EQ(pam_authenticate(pam, PAM_SILENT), PAM_SUCCESS);
  ASSERT_EQ(pam_set_item(pam, PAM_USER, "suspended@example.net"), PAM_SUCCESS);
  EXPECT_EQ(pam_acct_mgmt(pam, PAM_SILENT), PAM_ACCT_EXPIRED);
  pam_end(pam, PAM_SUCCESS);
}

// As sudo(8), login(1) and their like do.
TEST_F(PamProvTest, EveryStageOfASessionSucceedsInOrder) {
  char typed[] = "secret";
  const pam_conv conversation{&Converse, typed};
  pam_handle_t* pam = nullptr;
  ASSERT_EQ(pam_start_confdir("prov-pop3", "alice@example.net", &conversation,
                              (directory_ + "/pam.d").c_str(), &pam),
            PAM_SUCCESS);
  EXPECT_EQ(pam_authenticate(pam, PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_acct_mgmt(pam, PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_chauthtok(pam, PAM_SILENT | PAM_CHANGE_EXPIRED_AUTHTOK), PAM_SUCCESS);  // none has expired
  EXPECT_EQ(pam_setcred(pam, PAM_ESTABLISH_CRED | PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_open_session(pam, PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_setcred(pam, PAM_REINITIALIZE_CRED | PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_close_session(pam, PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_setcred(pam, PAM_DELETE_CRED | PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_end(pam, PAM_SUCCESS), PAM_SUCCESS);
}

TEST_F(PamProvTest, StartTlsVerifiesTheDirectory) {
  Configure({slapd_->ldap_uri()},
            fmt::format("starttls = true\nca = \"{}\"\ntimeout = \"30s\"", slapd_->ca()));
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("alice@example.net", "wrong").authenticate, PAM_AUTH_ERR);
  Configure({slapd_->ldap_uri()}, "starttls = true");  // the system's CAs do not know ours
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
}

TEST_F(PamProvTest, NothingTravelsInClear) {
  Configure({slapd_->ldap_uri()});
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
  EXPECT_EQ(LoadConfig(directory_ + "/pam_prov.toml").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PamProvTest, WrongConfigurationIsNamed) {
  const auto error = [this](const std::string& more) {
    Configure({slapd_->ldapi()}, more);
    return std::string(LoadConfig(directory_ + "/pam_prov.toml").status().message());
  };
  EXPECT_NE(error("colour = \"red\"").find("colour is not known"), std::string::npos);
  EXPECT_NE(error("timeout = \"3 parsecs\"").find("timeout"), std::string::npos);
  EXPECT_NE(error("timeout = 3").find("timeout"), std::string::npos);
  EXPECT_NE(error("starttls = \"yes\"").find("starttls"), std::string::npos);
  EXPECT_NE(error("= 3").find("pam_prov.toml:5"), std::string::npos);
  EXPECT_EQ(error("timeout = \"500ms\"\ndead_for = \"1m\""), "");
  std::filesystem::remove(directory_ + "/password");
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
  std::filesystem::remove(directory_ + "/pam_prov.toml");
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
}

TEST_F(PamProvTest, WrongServiceAccountSaysNothingAboutThePassword) {
  std::ofstream(directory_ + "/password") << "not it";
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
}

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
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
  for (const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) {
    const std::string target = std::filesystem::read_symlink(one.path());
    if (!target.starts_with("socket:")) continue;
    EXPECT_NE(fcntl(std::stoi(one.path().filename()), F_GETFD) & FD_CLOEXEC, 0) << target;
  }
}

TEST_F(PamProvTest, TheFirstLoginOfAProcessLeavesNothingOpen) {
  const pid_t child = fork();  // it has not logged in yet
  if (child == 0) {
    const size_t before = OpenDescriptors();
    const bool good = LogInThroughPam("alice@example.net", kPassword).account == PAM_SUCCESS;
    // What the parent kept is closed meanwhile.
    _exit(good && OpenDescriptors() <= before ? 0 : 1);
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
