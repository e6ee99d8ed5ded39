// Against a real slapd.
#include "common/ldap/connection.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>

#include "common/ldap/dn.h"
#include "tests/fixtures/slapd.h"

namespace prov::ldap {
namespace {

using ::prov::testing::Slapd;
using std::chrono::milliseconds;

class ConnectionTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto slapd = Slapd::Start({.tls = true});
    ASSERT_TRUE(slapd.ok()) << slapd.status();
    slapd_ = std::move(*slapd).release();
  }
  static void TearDownTestSuite() {
    delete slapd_;
    slapd_ = nullptr;
  }
  void SetUp() override {
    ASSERT_NE(slapd_, nullptr);
    ASSERT_TRUE(slapd_->StartAgain().ok());
    connection_ = Bound();
    ASSERT_NE(connection_, nullptr);
    // Refused where it is there already.
    connection_->Apply(Unit("people")).IgnoreError();
  }

  static ConnectOptions Options() { return {.uri = slapd_->ldapi()}; }
  static std::unique_ptr<Connection> Bound() {
    auto connection = Connection::Open(Options());
    EXPECT_TRUE(connection.ok()) << connection.status();
    if (!connection.ok()) return nullptr;
    const absl::Status bound =
        (*connection)->Bind(slapd_->ServiceDn("publisher"), slapd_->ServicePassword("publisher"));
    EXPECT_TRUE(bound.ok()) << bound;
    return bound.ok() ? std::move(*connection) : nullptr;
  }
  static Write Unit(const std::string& name) {
    return Add{{ChildDn("ou", name, name == "people" ? "o=prov" : "ou=people,o=prov"),
                {{"objectClass", {"organizationalUnit"}}, {"ou", {name}}}}};
  }
  absl::StatusOr<std::vector<Entry>> Find(const std::string& name) {
    return connection_->Search(
        {.base = "ou=people,o=prov", .filter = Filter::Equal("ou", name), .attributes = {"ou"}});
  }

  static Slapd* slapd_;
  std::unique_ptr<Connection> connection_;
};

Slapd* ConnectionTest::slapd_ = nullptr;

TEST_F(ConnectionTest, PasswordsInClearAreRefusedBeforeConnecting) {
  EXPECT_EQ(Connection::Open({.uri = "ldap://127.0.0.1:1"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Connection::Open({.uri = "http://127.0.0.1"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Connection::Open({.uri = "ldapi://a ldap://b"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ConnectionTest, EmptyPasswordNeverBinds) {
  auto connection = Connection::Open(Options());
  ASSERT_TRUE(connection.ok());
  EXPECT_EQ((*connection)->Bind(slapd_->ServiceDn("pam"), "").code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ConnectionTest, WrongPasswordIsUnauthenticated) {
  auto connection = Connection::Open(Options());
  ASSERT_TRUE(connection.ok());
  EXPECT_EQ((*connection)->Bind(slapd_->ServiceDn("pam"), "wrong").code(),
            absl::StatusCode::kUnauthenticated);
  EXPECT_EQ((*connection)->Bind("cn=nobody,o=prov", "wrong").code(), absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE((*connection)->Bind(slapd_->ServiceDn("pam"), slapd_->ServicePassword("pam")).ok());
}

TEST_F(ConnectionTest, StartTlsVerifiesTheServer) {
  ConnectOptions options{.uri = slapd_->ldap_uri(), .ca = slapd_->ca(), .starttls = true};
  auto connection = Connection::Open(options);
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_TRUE((*connection)->Bind(slapd_->ServiceDn("pam"), slapd_->ServicePassword("pam")).ok());

  options.ca = "";  // the system's does not know our test CA
  EXPECT_FALSE(Connection::Open(options).ok());
  options.ca = "/nonexistent.pem";
  EXPECT_FALSE(Connection::Open(options).ok());
}

TEST_F(ConnectionTest, SearchTellsNothingFromTooMuch) {
  EXPECT_TRUE(connection_->Apply(Unit("one")).ok());
  EXPECT_TRUE(connection_->Apply(Unit("two")).ok());
  EXPECT_EQ(Find("absent")->size(), 0u);
  EXPECT_EQ(Find("one")->front().attributes["ou"], Values{"one"});
  EXPECT_EQ(connection_->Search({.base = "ou=none,ou=people,o=prov", .filter = Filter::Present("ou")})
                .status()
                .code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(
      connection_->Search({.base = "ou=people,o=prov", .filter = Filter::Present("ou"), .size_limit = 1})
          .status()
          .code(),
      absl::StatusCode::kOutOfRange);
}

TEST_F(ConnectionTest, AbandonedSearchLeavesTheConnectionUsable) {
  const auto stop = [](Entry) { return absl::CancelledError("enough"); };
  EXPECT_EQ(
      connection_->SearchEach({.base = "o=prov", .filter = Filter::Present("objectClass")}, stop).code(),
      absl::StatusCode::kCancelled);
  EXPECT_TRUE(Find("absent").ok());
}

TEST_F(ConnectionTest, TransactionIsAllOrNothingAndNamesTheCulprit) {
  ASSERT_TRUE(*connection_->OffersTransactions());
  Culprit culprit;
  // Refused at commit: the class does not allow it.
  Write bad = Add{{"ou=bad,ou=people,o=prov", {{"objectClass", {"person"}}, {"ou", {"bad"}}}}};
  absl::Status status = connection_->ApplyAll({Unit("t1"), bad, Unit("t2")}, &culprit);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(culprit.index, 1u);
  EXPECT_TRUE(Find("t1")->empty());
  // Refused at once: no such attribute type.
  bad = Add{{"ou=bad,ou=people,o=prov",
             {{"objectClass", {"organizationalUnit"}}, {"ou", {"bad"}}, {"noSuchType", {"x"}}}}};
  status = connection_->ApplyAll({Unit("t1"), Unit("t2"), bad}, &culprit);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(culprit.index, 2u);
  EXPECT_TRUE(Find("t1")->empty());

  EXPECT_TRUE(connection_->ApplyAll({Unit("t1"), Unit("t2")}, &culprit).ok());
  EXPECT_EQ(Find("t1")->size(), 1u);
  EXPECT_EQ(Find("t2")->size(), 1u);
}

TEST_F(ConnectionTest, DeadServerIsUnavailableAndStaysSo) {
  slapd_->Kill();
  EXPECT_EQ(Find("x").status().code(), absl::StatusCode::kUnavailable);
  Culprit culprit;
  EXPECT_EQ(connection_->ApplyAll({Unit("y")}, &culprit).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Connection::Open(Options()).status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(slapd_->StartAgain().ok());
  // libldap would have reconnected here, anonymously.
  EXPECT_EQ(Find("x").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(Bound(), nullptr);
}

TEST_F(ConnectionTest, SilentServerIsGivenUpInTime) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 5), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string place = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  for (const std::string scheme : {"ldap://", "ldaps://"}) {
    const auto start = std::chrono::steady_clock::now();
    const absl::Status status = Connection::Open({.uri = scheme + place,
                                                  .ca = slapd_->ca(),
                                                  .starttls = scheme == "ldap://",
                                                  .connect_timeout = milliseconds(200),
                                                  .operation_timeout = milliseconds(200)})
                                    .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  }
  close(listener);
}

// In a program that may have no more threads, as FTP servers limit theirs: an error, no exception, and the
// program's signals and descriptors are as they were.
TEST_F(ConnectionTest, WithoutThreadsTlsFailsAndLeavesNothingBehind) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    if ((geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) || setrlimit(RLIMIT_NPROC, &none) != 0)
      _exit(2);
    const int lowest = dup(2);
    close(lowest);
    try {
      const auto connection = Connection::Open({.uri = slapd_->ldap_uri(), .starttls = true});
      if (!absl::IsUnavailable(connection.status())) _exit(3);
    } catch (const std::exception&) {
      _exit(4);
    }
    sigset_t blocked;
    sigemptyset(&blocked);
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    if (sigismember(&blocked, SIGTERM) != 0) _exit(5);
    _exit(dup(2) == lowest ? 0 : 6);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace prov::ldap
