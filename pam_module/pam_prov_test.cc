// pam_prov.so through real PAM against a real slapd that holds entries as the publisher writes them.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/ldap/connection.h"
#include "pam_module/directory_login.h"
#include "server/directory/mapping.h"
#include "server/directory/memory_truth.h"
#include "tests/fixtures/slapd.h"

namespace prov::pam {
namespace {

using ::prov::testing::Slapd;

constexpr char kPassword[] = "secret";  // of directory::TestSubscriber

std::string ModulePath() { return std::filesystem::absolute("pam_module/pam_prov.so").string(); }

int Converse(int count, const pam_message** messages, pam_response** responses, void* data) {
  auto* filled = static_cast<pam_response*>(calloc(static_cast<size_t>(count), sizeof(pam_response)));
  for (int i = 0; i < count; ++i) {
    if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF)
      filled[i].resp = strdup(static_cast<const char*>(data));
  }
  *responses = filled;
  return PAM_SUCCESS;
}

// Listens, and never answers.
class SilentServer {
 public:
  SilentServer() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 100), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { close(fd_); }
  std::string uri() const { return fmt::format("ldaps://127.0.0.1:{}", port_); }
  int Visits() const {
    int visits = 0;
    for (int one = accept(fd_, nullptr, nullptr); one >= 0; one = accept(fd_, nullptr, nullptr)) {
      close(one);
      ++visits;
    }
    return visits;
  }

 private:
  const int fd_;
  int port_ = 0;
};

class PamProvTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto slapd = Slapd::Start({.tls = true});
    ASSERT_TRUE(slapd.ok()) << slapd.status();
    slapd_ = std::move(*slapd).release();
    Fill();
  }
  static void TearDownTestSuite() {
    delete slapd_;
    slapd_ = nullptr;
  }

  static void Fill() {
    auto connection = ldap::Connection::Open({.uri = slapd_->ldapi()});
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE(
        (*connection)->Bind(slapd_->ServiceDn("publisher"), slapd_->ServicePassword("publisher")).ok());
    ASSERT_TRUE((*connection)
                    ->Apply(ldap::Add{
                        {"ou=people,o=prov", {{"objectClass", {"organizationalUnit"}}, {"ou", {"people"}}}}})
                    .ok());
    std::vector<model::Subscriber> all;
    all.push_back(directory::TestSubscriber(1, "alice@example.net"));
    all.back().credential_version = 77;
    all.push_back(directory::TestSubscriber(2, "suspended@example.net"));
    all.back().state = model::State::kSuspended;
    all.push_back(directory::TestSubscriber(3, "webonly@example.net"));
    all.back().entitlements = {.mail = false, .ftp = false, .web = true};
    all.push_back(directory::TestSubscriber(4, "nopassword@example.net"));
    all.back().password_hash.clear();
    all.push_back(directory::TestSubscriber(5, "a+b{'}~#=@example.net"));
    for (const model::Subscriber& one : all) {
      const auto entry = directory::SubscriberEntry(
          one, {.base = "o=prov", .services = {}, .home_prefix = "/srv/prov/homes"});
      const absl::Status added = (*connection)->Apply(ldap::Add{*entry});
      ASSERT_TRUE(added.ok()) << added;
    }
  }

  void SetUp() override {
    ASSERT_NE(slapd_, nullptr);
    char path[] = "/tmp/pam.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    std::filesystem::create_directory(directory_ + "/pam.d");
    std::ofstream(directory_ + "/password") << slapd_->ServicePassword("pam") << "\n";
    for (const char* service : {"prov-pop3", "prov-web", "other"}) {
      std::ofstream(directory_ + "/pam.d/" + service) << fmt::format(
          "auth required {0} config={1}\naccount required {0} config={1}\npassword required {0} config={1}\n",
          ModulePath(), directory_ + "/pam_prov.toml");
    }
    Configure({slapd_->ldapi()});
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Configure(const std::vector<std::string>& uris, const std::string& more = "") {
    std::string list;
    for (const std::string& uri : uris) list += fmt::format("\"{}\", ", uri);
    std::ofstream(directory_ + "/pam_prov.toml") << fmt::format(
        "uri = [{}]\nbase = \"o=prov\"\nbind_dn = \"{}\"\nbind_password_file = \"password\"\n{}\n", list,
        slapd_->ServiceDn("pam"), more);
  }

  struct Outcome {
    int authenticate = -1;
    int account = -1;
    std::string credential_version;
  };

  Outcome LogInThroughPam(const std::string& login, const std::string& password,
                          const std::string& service = "prov-pop3") {
    Outcome outcome;
    std::string typed = password;
    const pam_conv conversation{&Converse, typed.data()};
    pam_handle_t* pam = nullptr;
    EXPECT_EQ(pam_start_confdir(service.c_str(), login.c_str(), &conversation,
                                (directory_ + "/pam.d").c_str(), &pam),
              PAM_SUCCESS);
    outcome.authenticate = pam_authenticate(pam, PAM_SILENT);
    outcome.account = pam_acct_mgmt(pam, PAM_SILENT);
    if (const char* version = pam_getenv(pam, "PROV_CREDENTIAL_VERSION"))
      outcome.credential_version = version;
    if (outcome.authenticate == PAM_SUCCESS) {
      EXPECT_EQ(pam_setcred(pam, PAM_ESTABLISH_CRED | PAM_SILENT), PAM_SUCCESS);
    }
    pam_end(pam, outcome.account);
    return outcome;
  }

  // What slapd logs about from now on.
  class Log {
   public:
    Log() : start_(slapd_->Log().size()) {}
    std::string New() const { return slapd_->Log().substr(start_); }

   private:
    const size_t start_;
  };

  static Slapd* slapd_;
  std::string directory_;
};

Slapd* PamProvTest::slapd_ = nullptr;

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
        std::string(1 << 20, 'a'), std::string("\xFF@x.net")}) {
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
  EXPECT_EQ(pam_chauthtok(pam, PAM_SILENT), PAM_AUTHTOK_ERR);
  pam_end(pam, PAM_SUCCESS);
}

TEST_F(PamProvTest, StartTlsVerifiesTheDirectory) {
  Configure({slapd_->ldap_uri()}, fmt::format("starttls = true\nca = \"{}\"", slapd_->ca()));
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

TEST_F(PamProvTest, FailsOverFromADeadServerAndRemembersIt) {
  const SilentServer silent;
  Configure({"ldapi://%2Fnonexistent", silent.uri(), slapd_->ldapi()},
            fmt::format("ca = \"{}\"\ntimeout = \"3s\"", slapd_->ca()));
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_SUCCESS);
  EXPECT_EQ(silent.Visits(), 1);
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("alice@example.net", "wrong").authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(silent.Visits(), 0);
}

TEST_F(PamProvTest, ReturnsToItsFirstServer) {
  const SilentServer silent;
  Configure({silent.uri(), slapd_->ldapi()},
            fmt::format("ca = \"{}\"\ntimeout = \"600ms\"\ndead_for = \"0ms\"", slapd_->ca()));
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_SUCCESS);
  EXPECT_EQ(silent.Visits(), 2);
}

TEST_F(PamProvTest, SilentServerIsGivenUpInTime) {
  const SilentServer silent;
  Configure({silent.uri()}, fmt::format("ca = \"{}\"\ntimeout = \"300ms\"", slapd_->ca()));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
  // Generous, for a loaded machine; without a limit it would be for ever.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
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

TEST_F(PamProvTest, NothingIsLeftOpenAfterPamEnd) {
  LogInThroughPam("alice@example.net", kPassword);
  const size_t before = OpenDescriptors();
  for (int i = 0; i < 10; ++i) {
    LogInThroughPam("alice@example.net", kPassword);
    LogInThroughPam("alice@example.net", "wrong");
    LogInThroughPam("nobody@example.net", kPassword);
  }
  EXPECT_EQ(OpenDescriptors(), before);
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
    for (const char* symbol :
         {"pam_sm_authenticate", "pam_sm_acct_mgmt", "pam_sm_setcred", "pam_sm_chauthtok"}) {
      EXPECT_NE(dlsym(module, symbol), nullptr);
    }
    EXPECT_EQ(
        dlsym(module, "_ZN4prov3pam10LoadConfigERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"),
        nullptr);
  }
}

}  // namespace
}  // namespace prov::pam
