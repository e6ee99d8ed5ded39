#include "server/enrol/authority.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>
#include <vector>

#include "common/status.h"
#include "server/enrol/ca_command.h"

namespace prov::enrol {
namespace {

constexpr std::chrono::hours kDay(24);

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void Save(const std::string& path, const std::string& content) { std::ofstream(path) << content; }

mode_t ModeOf(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

class AuthorityTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/enrol.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    ca_ = directory_ + "/ca";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string In(const std::string& name) const { return directory_ + "/" + name; }

  // Runs the real openssl; its exit status. Output is kept in `said_`.
  int Openssl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    const std::string output = In("openssl.out");
    const pid_t child = fork();
    if (child == 0) {
      std::vector<char*> argv;
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      if (freopen(output.c_str(), "w", stdout) == nullptr || dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
        _exit(126);
      execvp("openssl", argv.data());
      _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    said_ = Contents(output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  int Verify(std::vector<std::string> options, const std::string& certificate, const std::string& ca = "") {
    options.insert(options.begin(),
                   {"verify", "-x509_strict", "-CAfile", (ca.empty() ? ca_ : ca) + "/ca.pem"});
    options.push_back(certificate);
    return Openssl(std::move(options));
  }

  // Issues to NAME.pem and NAME.key.
  void Issue(const std::string& name, const Authority::Subject& subject) {
    const auto authority = Authority::Load(ca_);
    ASSERT_TRUE(authority.ok()) << authority.status();
    const auto issued = authority->Issue(subject);
    ASSERT_TRUE(issued.ok()) << issued.status();
    Save(In(name + ".pem"), issued->certificate_pem);
    Save(In(name + ".key"), issued->key_pem);
  }

  int Run(std::initializer_list<std::string> arguments) {
    std::vector<std::string> words = {"provd", "ca"};
    words.insert(words.end(), arguments);
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    return RunCaCommand(static_cast<int>(words.size()), argv.data());
  }

  std::string directory_, ca_, said_;
};

TEST_F(AuthorityTest, ServerCertificateVerifiesForItsNamesAndNoOthers) {
  ASSERT_TRUE(Authority::Create(ca_).ok());
  Issue("provd", {.identity = "prov://provd/a",
                  .dns_names = {"provd.example.net"},
                  .ip_addresses = {"127.0.0.1", "::1"}});
  const std::string certificate = In("provd.pem");
  EXPECT_EQ(Verify({"-purpose", "sslserver", "-verify_hostname", "provd.example.net"}, certificate), 0)
      << said_;
  EXPECT_EQ(Verify({"-purpose", "sslserver", "-verify_ip", "127.0.0.1"}, certificate), 0) << said_;
  EXPECT_EQ(Verify({"-purpose", "sslserver", "-verify_ip", "::1"}, certificate), 0) << said_;
  EXPECT_EQ(Verify({"-purpose", "sslclient"}, certificate), 0) << said_;
  EXPECT_NE(Verify({"-verify_hostname", "other.example.net"}, certificate), 0);
  EXPECT_NE(Verify({"-verify_ip", "127.0.0.2"}, certificate), 0);
}

TEST_F(AuthorityTest, CallerCertificateIsForClientsOnly) {
  ASSERT_TRUE(Authority::Create(ca_).ok());
  Issue("mary", {.identity = "prov://helpdesk/mary"});
  EXPECT_EQ(Verify({"-purpose", "sslclient"}, In("mary.pem")), 0) << said_;
  EXPECT_NE(Verify({"-purpose", "sslserver"}, In("mary.pem")), 0);
}

TEST_F(AuthorityTest, IdentityIsTheOnlyUriName) {
  ASSERT_TRUE(Authority::Create(ca_).ok());
  Issue("store1", {.identity = "prov://agent/store1", .dns_names = {"store1.example.net"}});
  ASSERT_EQ(Openssl({"x509", "-in", In("store1.pem"), "-noout", "-ext", "subjectAltName"}), 0);
  EXPECT_NE(said_.find("URI:prov://agent/store1, DNS:store1.example.net"), std::string::npos) << said_;
  EXPECT_EQ(said_.find("URI:", said_.find("URI:") + 1), std::string::npos) << said_;
}

TEST_F(AuthorityTest, CertificateOfAnotherAuthorityDoesNotVerify) {
  ASSERT_TRUE(Authority::Create(ca_).ok());
  ASSERT_TRUE(Authority::Create(In("stranger")).ok());
  Issue("store1", {.identity = "prov://agent/store1"});
  EXPECT_EQ(Verify({}, In("store1.pem")), 0) << said_;
  EXPECT_NE(Verify({}, In("store1.pem"), In("stranger")), 0);
}

TEST_F(AuthorityTest, LeafCannotSignCertificates) {
  ASSERT_TRUE(Authority::Create(ca_).ok());
  Issue("store1", {.identity = "prov://agent/store1"});
  // As an authority of its own: OpenSSL's request, signed with the leaf's key.
  ASSERT_EQ(Openssl({"req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                     "/CN=evil", "-keyout", In("evil.key"), "-out", In("evil.csr")}),
            0)
      << said_;
  ASSERT_EQ(Openssl({"x509", "-req", "-in", In("evil.csr"), "-CA", In("store1.pem"), "-CAkey",
                     In("store1.key"), "-set_serial", "1", "-out", In("evil.pem")}),
            0)
      << said_;
  EXPECT_NE(Verify({"-untrusted", In("store1.pem")}, In("evil.pem")), 0);
}

TEST_F(AuthorityTest, CertificateEndsWithItsLifetime) {
  ASSERT_TRUE(Authority::Create(ca_).ok());
  Issue("store1", {.identity = "prov://agent/store1", .lifetime = 2 * kDay});
  const auto at = [](std::chrono::hours later) {
    return std::to_string(time(nullptr) + later.count() * 3600);
  };
  EXPECT_EQ(Verify({"-attime", at(kDay)}, In("store1.pem")), 0) << said_;
  EXPECT_NE(Verify({"-attime", at(3 * kDay)}, In("store1.pem")), 0);
}

TEST_F(AuthorityTest, SerialsAreLongAndNeverTheSame) {
  ASSERT_TRUE(Authority::Create(ca_).ok());
  std::string serials[2];
  for (std::string& serial : serials) {
    Issue("store1", {.identity = "prov://agent/store1"});
    ASSERT_EQ(Openssl({"x509", "-in", In("store1.pem"), "-noout", "-serial"}), 0);
    serial = said_;
    EXPECT_EQ(serial.size(), std::string("serial=\n").size() + 128 / 4) << serial;
  }
  EXPECT_NE(serials[0], serials[1]);
}

TEST_F(AuthorityTest, AuthorityIsNeverOverwritten) {
  ASSERT_TRUE(Authority::Create(ca_).ok());
  const std::string certificate = Contents(ca_ + "/ca.pem"), key = Contents(ca_ + "/ca.key");
  EXPECT_TRUE(absl::IsAlreadyExists(Authority::Create(ca_)));
  EXPECT_EQ(Run({"init", "--directory", ca_}), 1);
  EXPECT_EQ(Run({"init", "--directory", ca_, "--if-missing"}), 0);
  EXPECT_EQ(Contents(ca_ + "/ca.pem"), certificate);
  EXPECT_EQ(Contents(ca_ + "/ca.key"), key);
}

TEST_F(AuthorityTest, KeysAreForTheirOwnerOnly) {
  const mode_t before = umask(0);
  EXPECT_EQ(Run({"init", "--directory", ca_}), 0);
  EXPECT_EQ(Run({"issue", "--directory", ca_, "--identity", "prov://agent/store1", "--certificate",
                 In("a.pem"), "--key", In("a.key")}),
            0);
  umask(before);
  EXPECT_EQ(ModeOf(ca_), 0700u);
  EXPECT_EQ(ModeOf(ca_ + "/ca.key"), 0600u);
  EXPECT_EQ(ModeOf(In("a.key")), 0600u);
}

TEST_F(AuthorityTest, CommandIssuesForSeveralNames) {
  ASSERT_EQ(Run({"init", "--directory", ca_}), 0);
  ASSERT_EQ(Run({"issue", "--directory", ca_, "--identity", "prov://provd/a", "--dns", "localhost", "--dns",
                 "provd.example.net", "--ip", "127.0.0.1", "--lifetime", "12h", "--certificate", In("a.pem"),
                 "--key", In("a.key")}),
            0);
  EXPECT_EQ(Verify({"-verify_hostname", "localhost"}, In("a.pem")), 0) << said_;
  EXPECT_EQ(Verify({"-verify_hostname", "provd.example.net"}, In("a.pem")), 0) << said_;
  EXPECT_EQ(Verify({"-verify_ip", "127.0.0.1"}, In("a.pem")), 0) << said_;
  EXPECT_NE(Verify({"-attime", std::to_string(time(nullptr) + 13 * 3600)}, In("a.pem")), 0);
}

TEST_F(AuthorityTest, CommandRefusesWhatItCannotDo) {
  ASSERT_EQ(Run({"init", "--directory", ca_}), 0);
  const auto issue = [&](const std::string& identity, const std::string& lifetime) {
    return Run({"issue", "--directory", ca_, "--identity", identity, "--lifetime", lifetime, "--certificate",
                In("a.pem"), "--key", In("a.key")});
  };
  EXPECT_EQ(Run({}), 2);
  EXPECT_EQ(Run({"init"}), 2);
  EXPECT_EQ(Run({"sign"}), 2);
  EXPECT_EQ(issue("store1", "90d"), 1);
  for (const char* lifetime : {"", "0d", "90", "-1d", "3651d", "99999999999999999999d", "1y"}) {
    EXPECT_EQ(issue("prov://agent/store1", lifetime), 1) << lifetime;
  }
  EXPECT_FALSE(std::filesystem::exists(In("a.pem")));
  EXPECT_FALSE(std::filesystem::exists(In("a.key")));
}

TEST_F(AuthorityTest, NamesCannotSmuggleExtensions) {
  ASSERT_TRUE(Authority::Create(ca_).ok());
  const auto authority = Authority::Load(ca_);
  ASSERT_TRUE(authority.ok());
  const Authority::Subject good = {.identity = "prov://agent/store1"};
  for (const char* identity :
       {"", "prov://agent/", "prov:///store1", "prov://agent/a,URI:prov://operator/admin",
        "prov://agent/STORE1", "prov://agent/a\n", "https://agent/store1"}) {
    Authority::Subject subject = good;
    subject.identity = identity;
    EXPECT_TRUE(absl::IsInvalidArgument(authority->Issue(subject).status())) << identity;
  }
  for (const char* name : {"", "a,URI:prov://operator/admin", "a b", "UPPER", "*.example.net"}) {
    Authority::Subject subject = good;
    subject.dns_names = {name};
    EXPECT_TRUE(absl::IsInvalidArgument(authority->Issue(subject).status())) << name;
  }
  for (const char* address : {"", "localhost", "127.0.0.1,URI:prov://operator/admin", "1.2.3"}) {
    Authority::Subject subject = good;
    subject.ip_addresses = {address};
    EXPECT_TRUE(absl::IsInvalidArgument(authority->Issue(subject).status())) << address;
  }
}

}  // namespace
}  // namespace prov::enrol
